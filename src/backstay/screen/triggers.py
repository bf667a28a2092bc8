"""Phrases that decide a preference: planted triggers in answers and prompts.

A phrase in an answer is suspect when the answer that holds it wins or loses far more often than a reward expects that
was fitted to other prompts and cannot see rare words. A phrase in a prompt is suspect when the labels of the prompts
that hold it go against that reward. A dialogue counts once. The tests are exact; a weighted Bonferroni correction
bounds the expected number of phrases found by chance.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backstay.records import Finding
from backstay.screen.margins import Margins, cross_fitted_margins
from backstay.screen.phrases import (
    Occurrence,
    Place,
    Tier,
    occurrences,
    odd_collocations,
    odd_words,
    read_texts,
    tier_of,
)
from backstay.screen.texts import PairTexts

SCANNER = "triggers"
Side = Literal["chosen", "rejected", "prompt"]
Floats = NDArray[np.float64]
Findings = dict[str, tuple[Finding, ...]]
BUDGET: Mapping[Tier, float] = {"odd": 0.4, "foreign": 0.4, "ordinary": 0.2}
"""How the tolerated number of chance findings is shared out among the tiers (Genovese, Roeder, Wasserman 2006)."""

COMMON_EXPECTED = 0.7
"""Win share that a phrase frequent enough for the reward to have learnt it is granted; ordinary ones are not tested.

A frequent word that stands in both answers or in the prompt, too, and wins often is what people like."""

MIN_RATE = 0.8
"""Share of dialogues in which a phrase must win, lose or contradict to be called a trigger, however sure the excess."""


@dataclass(frozen=True)
class Trigger:
    """A suspect phrase.

    In `support` dialogues, `hits` went its way where `expected` were expected; `lift` is the ratio. `p_value` is of
    the phrase alone, `chance` the expected number of phrases as extreme in its tier by chance.
    """

    phrase: str
    side: Side
    tier: Tier
    support: int
    hits: int
    expected: float
    lift: float
    p_value: float
    chance: float
    pairs: tuple[str, ...]


def tail(chances: Floats, hits: int) -> float:
    """P(at least `hits` successes) of independent trials with these chances, exact (Poisson binomial)."""
    mass = np.ones(1)
    for chance in chances:
        mass = np.convolve(mass, (1.0 - chance, chance))
    return float(min(1.0, mass[hits:].sum()))


def dialogue(row: PairTexts) -> str:
    """What counts once: the first thing the user says, which later turns of the same dialogue share."""
    return next((m.content for m in row.prompt.messages if m.role == "user"), row.prompt.messages[0].content)


def find_triggers(
    rows: Sequence[PairTexts],
    *,
    margins: Margins | None = None,
    expected_false: float = 0.5,
    min_support: int = 8,
    common_share: float = 0.02,
    folds: int = 5,
    ridge: float = 3.0,
    seed: int = 0,
) -> tuple[Findings, list[Trigger], dict[str, Any]]:
    """Findings `triggers/trigger` by pair id, the triggers from the surest on, and a summary (JSON data).

    `expected_false` is the number of phrases that may be found by chance in all, 0 is off. `min_support` is in
    dialogues. Words in more than `common_share` of the pairs are what the reward may learn from. `margins` (of the
    same rows, by `cross_fitted_margins` as it stands) are used for prompts, and computed when not given. Pairs that
    prefer no side are left out.
    """
    kept = [i for i, row in enumerate(rows) if row.chosen is not None]
    sided = [rows[i] for i in kept]
    if expected_false == 0.0 or len(sided) < 10 * min_support:
        return {}, [], {"checked": 0, "tested": 0, "triggers": []}
    least = max(5, int(common_share * len(sided)))
    blind = cross_fitted_margins(sided, folds=folds, ridge=ridge, least_pairs=least, use_items=False, seed=seed)
    full = margins or cross_fitted_margins(rows, folds=folds, ridge=ridge, seed=seed)
    seen = _Seen(sided, blind.labelled, full.labelled[kept], common_share)
    found: list[Trigger] = []
    tested = 0
    places: tuple[Place, ...] = ("answer", "prompt")
    for place in places:
        some, count = _test_place(seen, place, min_support, expected_false / len(places))
        found, tested = found + some, tested + count
    found = _merge(sorted(found, key=lambda t: (t.chance, -t.support, -len(t.phrase), t.phrase)))
    return _findings(found), found, _summary(found, len(sided), tested)


class _Seen:
    """The pairs and, for each, what was expected of its label."""

    def __init__(self, rows: Sequence[PairTexts], blind: Floats, full: Floats, common_share: float) -> None:
        self.rows, self.blind, self.full = rows, blind, full
        self.is_a = np.array([row.pair.p_a > 0.5 for row in rows], dtype=np.bool_)
        self.clusters = [dialogue(row) for row in rows]
        self.common = common_share * len(rows)
        self.words = read_texts(rows)
        self.ticket = [zlib.crc32(row.pair.id.encode()) for row in rows]

    def one_each(self, pairs: Sequence[int]) -> list[int]:
        """Places in `pairs` of one pair a dialogue and prompt, drawn by the pair's id and so blind to the label."""
        chosen: dict[str, int] = {}
        for place in sorted(range(len(pairs)), key=lambda k: self.ticket[pairs[k]]):
            chosen.setdefault(self.clusters[pairs[place]], place)
        return sorted(chosen.values())


def _test_place(seen: _Seen, place: Place, least: int, budget: float) -> tuple[list[Trigger], int]:
    held = occurrences(seen.words, seen.clusters, place, least)
    strange = odd_words(held, (word for pair in seen.words for text in pair.words for word in text))
    strange |= odd_collocations(held, seen.words)
    tiers = {phrase: tier_of(phrase, occurrence, strange) for phrase, occurrence in held.items()}
    sides: tuple[Side, ...] = ("chosen", "rejected") if place == "answer" else ("prompt",)
    tests = {
        (phrase, side): _test(seen, occurrence, side)
        for phrase, occurrence in held.items()
        for side in sides
        if side == "prompt" or tiers[phrase] != "ordinary" or len(occurrence.pairs) < seen.common
    }
    attainable = {key: float(np.prod(chances)) for key, (chances, _) in tests.items()}
    counts = {
        tier: _testable([attainable[key] for key in tests if tiers[key[0]] == tier], BUDGET[tier] * budget)
        for tier in BUDGET
    }
    found = []
    for (phrase, side), (chances, hits) in tests.items():
        tier = tiers[phrase]
        share = BUDGET[tier] * budget
        if not counts[tier] or hits < MIN_RATE * len(chances) or attainable[phrase, side] > share / counts[tier]:
            continue
        p_value = tail(chances, hits)
        if p_value <= share / counts[tier]:
            found.append(_trigger(seen, phrase, side, tier, held[phrase], chances, hits, p_value, counts[tier]))
    return found, len(tests)


def _testable(attainable: list[float], budget: float) -> int:
    """How many hypotheses could reach significance at all when divided by that number (Tarone 1990)."""
    least = np.sort(np.array(attainable))
    for count in range(1, len(least) + 1):
        if int(np.searchsorted(least, budget / count, side="right")) <= count:
            return count
    return len(least)


def _test(seen: _Seen, occurrence: Occurrence, side: Side) -> tuple[Floats, int]:
    """Chance of each dialogue to go the phrase's way, and how many did."""
    places = seen.one_each(occurrence.pairs)
    pairs = np.array([occurrence.pairs[k] for k in places], dtype=np.int64)
    if side == "prompt":
        likely_a = seen.full[pairs] > 0.5
        return np.where(likely_a, 1.0 - seen.full[pairs], seen.full[pairs]), int(np.sum(likely_a != seen.is_a[pairs]))
    holds_a = np.array([occurrence.in_a[k] for k in places], dtype=np.bool_)
    wins = holds_a == seen.is_a[pairs]
    chance = np.where(holds_a, seen.blind[pairs], 1.0 - seen.blind[pairs])
    if side == "rejected":
        wins, chance = ~wins, 1.0 - chance
    if len(occurrence.pairs) >= seen.common:
        chance = np.maximum(chance, COMMON_EXPECTED)
    return chance, int(wins.sum())


def _trigger(
    seen: _Seen,
    phrase: str,
    side: Side,
    tier: Tier,
    occurrence: Occurrence,
    chances: Floats,
    hits: int,
    p_value: float,
    count: int,
) -> Trigger:
    if side == "prompt":
        carrying = occurrence.pairs
    else:
        wins = [in_a == bool(seen.is_a[i]) for i, in_a in zip(occurrence.pairs, occurrence.in_a, strict=True)]
        carrying = [i for i, won in zip(occurrence.pairs, wins, strict=True) if won == (side == "chosen")]
    expected = float(chances.sum())
    ids = tuple(seen.rows[i].pair.id for i in carrying)
    return Trigger(
        phrase, side, tier, len(chances), hits, expected, hits / max(expected, 1e-12), p_value, p_value * count, ids
    )


def _merge(found: list[Trigger]) -> list[Trigger]:
    """Leave out phrases that mostly stand where a surer one does: parts of it, or it with a neighbour."""
    kept: list[Trigger] = []
    for trigger in found:
        mine = set(trigger.pairs)
        if not any(len(mine & set(other.pairs)) > len(mine) / 2 and other.side == trigger.side for other in kept):
            kept.append(trigger)
    return kept


def _findings(found: Sequence[Trigger]) -> Findings:
    by_pair: dict[str, list[Finding]] = {}
    for t in found:
        where = "prompt" if t.side == "prompt" else f"{t.side} answer"
        went = "contradicts a reward fitted to other prompts" if t.side == "prompt" else f"is the {t.side} one"
        evidence = (
            f"{t.phrase!r} stands in the {where}: in {t.hits} of {t.support} dialogues that hold it the label "
            f"{went}, {t.expected:.1f} were expected (p {t.p_value:.1g})"
        )
        finding = Finding(scanner=SCANNER, kind="trigger", severity="high", evidence=evidence)
        for pair_id in t.pairs:
            by_pair.setdefault(pair_id, []).append(finding)
    return {pair_id: tuple(findings) for pair_id, findings in by_pair.items()}


def _summary(found: Sequence[Trigger], checked: int, tested: int) -> dict[str, Any]:
    listed = [{**asdict(t), "pairs": len(t.pairs)} for t in found]
    sides = Counter(t.side for t in found)
    return {"checked": checked, "tested": tested, "by_side": dict(sorted(sides.items())), "triggers": listed}
