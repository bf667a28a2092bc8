"""Do pairs change with their source or with time: share set aside, lengths, ties, disputes, tested by permutation."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.judgment_marks import seconds_of
from backstay.records import Judgment
from backstay.screen.texts import PairTexts

MEASURES = {
    "quarantined": "share of pairs set aside",
    "answer_words": "words an answer",
    "chosen_words": "words of the chosen answer over both",
    "no_side": "share of pairs without a preferred side",
    "dispute": "dispute between raters",
}
SLICES = 6
"""Stretches of time with equally many prompts, fewer where there are few prompts."""

MIN_PROMPTS = 30
"""Prompts that a part needs to be compared."""

MAX_PROMPTS = 20_000
"""Prompts that a test looks at; of more, those evenly drawn."""

PERMUTATIONS = 1999
LEVEL = 0.05
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def find_shifts(
    rows: Sequence[PairTexts], aside: Sequence[bool], judgments: Sequence[Sequence[Judgment]], *, seed: int = 0
) -> dict[str, Any]:
    """The measures that differ between sources of prompts or between stretches of time (JSON data).

    A prompt counts once, with the mean over its pairs. The statistic is the spread of the parts' means, its p-value the
    share of dealings of the parts among the prompts that spread as much, corrected by Bonferroni over all tests. Only
    what passes is listed, with every part's mean and its 95 % interval.
    """
    prompts, of = np.unique(
        np.array([row.pair.prompt_id for row in rows], dtype=object).astype(str), return_inverse=True
    )
    chosen = np.unique(np.linspace(0, max(prompts.size - 1, 0), min(prompts.size, MAX_PROMPTS)).astype(np.int64))
    values = {name: _per_prompt(column, of, prompts.size)[chosen] for name, column in _columns(rows, aside).items()}
    source = dict(zip(of.tolist(), (row.prompt.source for row in rows), strict=True))
    groupings = {
        "source": _large([source[p] for p in chosen.tolist()]),
        "time": _stretches(_times(judgments, of, prompts.size)[chosen]),
    }
    tested = [(kind, name) for kind, parts in groupings.items() if parts for name in values]
    found: list[dict[str, Any]] = []
    for test, (kind, name) in enumerate(tested):
        members = groupings[kind]
        known = [index[~np.isnan(values[name][index])] for index in members.values()]
        p_value = permutation_p(values[name], known, np.random.default_rng([seed, test]))
        if p_value * len(tested) <= LEVEL:
            parts = [_part(part, values[name][index]) for part, index in zip(members, known, strict=True)]
            found.append(_shift(kind, name, p_value, len(tested), parts))
    return {"tests": len(tested), "prompts": int(chosen.size), "found": found}


def permutation_p(value: Floats, parts: Sequence[Ints], rng: np.random.Generator) -> float:
    """P-value of the spread of the parts' means against dealing the parts anew among the same prompts."""
    pooled = np.concatenate([value[index] for index in parts])
    sizes = np.array([index.size for index in parts])
    if pooled.size == 0 or (sizes == 0).any() or np.ptp(pooled) == 0.0:
        return 1.0
    starts = np.cumsum(sizes) - sizes
    observed = _spread(pooled, starts, sizes)
    reached = sum(_spread(rng.permutation(pooled), starts, sizes) >= observed - 1e-12 for _ in range(PERMUTATIONS))
    return float((1 + reached) / (1 + PERMUTATIONS))


def _spread(pooled: Floats, starts: Ints, sizes: Ints) -> float:
    means = np.add.reduceat(pooled, starts) / sizes
    return float(sizes @ (means - pooled.mean()) ** 2)


def _columns(rows: Sequence[PairTexts], aside: Sequence[bool]) -> dict[str, Floats]:
    """Each measure (P); NaN where it is not defined."""
    length = np.array([(len(row.a.split()), len(row.b.split())) for row in rows], dtype=np.float64).reshape(-1, 2)
    side = np.array([0 if row.chosen is None else 1 if row.pair.p_a > 0.5 else 2 for row in rows], dtype=np.int64)
    both = np.maximum(length.sum(axis=1), 1.0)
    preferred = np.where(side == 1, length[:, 0], length[:, 1]) / both
    return {
        "quarantined": np.array(aside, dtype=np.float64),
        "answer_words": length.sum(axis=1) / 2.0,
        "chosen_words": np.where(side == 0, np.nan, preferred),
        "no_side": (side == 0).astype(np.float64),
        "dispute": np.array([row.pair.dispute for row in rows], dtype=np.float64),
    }


def _per_prompt(column: Floats, of: Ints, size: int) -> Floats:
    """Mean (prompts) over the pairs of a prompt that have the measure; NaN without one."""
    known = ~np.isnan(column)
    count = np.bincount(of[known], minlength=size)
    total = np.bincount(of[known], weights=column[known], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _large(labels: Sequence[str]) -> Mapping[str, Ints]:
    """Places by label, of the labels with enough prompts; none where fewer than two remain."""
    names, inverse = np.unique(np.array(labels, dtype=object).astype(str), return_inverse=True)
    found = {str(name): np.flatnonzero(inverse == k) for k, name in enumerate(names)}
    large = {name: index for name, index in found.items() if index.size >= MIN_PROMPTS}
    return large if len(large) > 1 else {}


def _times(judgments: Sequence[Sequence[Judgment]], of: Ints, size: int) -> Floats:
    """Mean time (prompts) of the judgments of a prompt, in seconds; NaN where none has one."""
    total, count = np.zeros(size), np.zeros(size)
    for prompt, given in zip(of.tolist(), judgments, strict=True):
        for stamp in (seconds_of(judgment.created_at) for judgment in given):
            if not np.isnan(stamp):
                total[prompt] += stamp
                count[prompt] += 1.0
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _stretches(times: Floats) -> Mapping[str, Ints]:
    """Places by stretch of time, each with its beginning; none where time tells nothing."""
    known = np.flatnonzero(~np.isnan(times))
    slices = min(SLICES, known.size // MIN_PROMPTS)
    if slices < 2 or np.ptp(times[known]) == 0.0:
        return {}
    order = known[np.argsort(times[known], kind="stable")]
    return {
        f"{k + 1} of {slices}, from {datetime.fromtimestamp(times[part[0]], UTC):%Y-%m-%d %H:%M}": part
        for k, part in enumerate(np.array_split(order, slices))
    }


def _part(name: str, value: Floats) -> dict[str, Any]:
    half = 1.96 * float(value.std(ddof=1)) / float(np.sqrt(value.size)) if value.size > 1 else 0.0
    mean = float(value.mean())
    return {"part": name, "prompts": value.size, "mean": mean, "low": mean - half, "high": mean + half}


def _shift(kind: str, name: str, p_value: float, tests: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
    told = {"by": kind, "measure": name, "meaning": MEASURES[name]}
    return told | {"p_value": p_value, "p_corrected": min(1.0, p_value * tests), "parts": parts}
