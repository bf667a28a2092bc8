"""Production traffic as an attack surface: what one client may contribute, what repeats, thumbs that come in bursts.

Nothing here decides what is true. It bounds what a client can put into a harvest, and says where to look.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from backstay.guard.harvest.kept_exchange import KeptRow, Thumb, share_of
from backstay.screen.near_pairs import band_keys, candidates, rows_per_band
from backstay.screen.shingles import WordHashes, jaccard, shingle_rows, shingles, words


class Bounds(NamedTuple):
    """What a harvest takes; `near` is a Jaccard similarity of word triples, `burst` thumbs of a client in an hour."""

    per_principal: int = 50
    near: float = 0.8
    burst: int = 20
    min_principals: int = 0


class Chosen(NamedTuple):
    """The exchanges that are taken, and how many were left out."""

    rows: tuple[KeptRow, ...]
    over_cap: int
    repeated: int


def chosen(rows: Sequence[KeptRow], bounds: Bounds) -> Chosen:
    """The rows without near-duplicates, and of each principal at most so many; oldest first.

    Which of a principal's rows are taken depends on their ids alone, not on when they came.
    """
    unlike = without_repeats(rows, bounds.near)
    taken: Counter[str] = Counter()
    kept = set()
    for row in sorted(unlike, key=lambda row: share_of(row.kept.exchange)):
        if taken[row.kept.principal] < bounds.per_principal:
            taken[row.kept.principal] += 1
            kept.add(row.kept.exchange)
    found = tuple(row for row in unlike if row.kept.exchange in kept)
    return Chosen(found, len(unlike) - len(found), len(rows) - len(unlike))


def without_repeats(rows: Sequence[KeptRow], threshold: float) -> list[KeptRow]:
    """The first of those that are alike in what was asked and in what was answered or called.

    A row with a thumb stands before one without: a thumb must not get lost because its exchange repeats another.
    """
    order = sorted(rows, key=lambda row: (not row.thumbs, row.kept.exchange))
    asked = [words(asked_of(row)) for row in order]
    said = [words(said_of(row)) for row in order]
    hashes = WordHashes()
    found = candidates(band_keys(shingle_rows(said, hashes), shingle_rows(asked, hashes), rows_per_band(threshold)))
    repeats: set[int] = set()
    for earlier, later in zip(found.earlier.tolist(), found.later.tolist(), strict=True):
        if earlier not in repeats and later not in repeats and _alike(order[earlier], order[later], threshold):
            repeats.add(later)
    kept = {row.kept.exchange for place, row in enumerate(order) if place not in repeats}
    return [row for row in rows if row.kept.exchange in kept]


def _alike(first: KeptRow, second: KeptRow, threshold: float) -> bool:
    if first.kept.principal != second.kept.principal and (first.thumbs and second.thumbs):
        return False  # Two people's thumbs on the same answer are two opinions.
    pairs = ((asked_of(first), asked_of(second)), (said_of(first), said_of(second)))
    return all(jaccard(shingles(a), shingles(b)) >= threshold for a, b in pairs)


def asked_of(row: KeptRow) -> str:
    """All that stood before the answer."""
    return "\n".join(turn.text for turn in row.kept.turns)


def said_of(row: KeptRow) -> str:
    """All that the model said and called, and all that was decided against."""
    return "\n".join(
        f"{one.tool} {one.text}"
        for one in row.kept.decisions
        if one.point.startswith("model.") or one.effect != "allow"
    )


def bursts(thumbs: Iterable[Thumb], most: int, window_ms: int = 3_600_000) -> frozenset[str]:
    """Ids of thumbs that stand with more than `most` of the same principal within an hour."""
    by_principal: dict[str, list[Thumb]] = defaultdict(list)
    for thumb in thumbs:
        by_principal[thumb.principal].append(thumb)
    found: set[str] = set()
    for given in by_principal.values():
        given.sort(key=lambda thumb: (thumb.at_ms, thumb.id))
        first = 0
        for last, thumb in enumerate(given):
            while thumb.at_ms - given[first].at_ms >= window_ms:
                first += 1
            if last - first + 1 > most:
                found.update(one.id for one in given[first : last + 1])
    return frozenset(found)
