"""What goes with being preferred though it is no merit: length, format, flattery, certainty. Reported, never judged.

For each attribute a logistic regression of the label on the difference of the attribute between the two answers, one
attribute at a time, with an interval that counts each prompt once (a sandwich over prompts). A source or a group of
raters is then set against all the others.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from backstay.screen.text_features import tokens
from backstay.screen.texts import PairTexts

Floats = NDArray[np.float64]
STEPS = 50
MAX_SLOPE = 30.0
"""Bound of the slope in log odds per standard deviation; reached when an attribute decides every label."""

_LIST = re.compile(r"(?m)^\s*(?:[-*\u2022]|\d{1,3}[.)])\s")
_MARKUP = re.compile(r"\*\*|__|`|(?m:^#{1,6} )|(?m:^\|)")
_FLATTERY = frozenset(
    tokens(
        "great excellent wonderful fantastic brilliant amazing insightful thoughtful impressive clever wise smart "
        "perfect awesome terrific outstanding love admire appreciate pleasure"
    )
)
_CERTAINTY = frozenset(
    tokens(
        "certainly definitely undoubtedly clearly obviously absolutely always never surely guaranteed proven "
        "undeniably unquestionably exactly indeed fact facts must"
    )
)
_DOUBT = frozenset(
    tokens("maybe perhaps might possibly probably seems appears unsure uncertain guess likely could think")
)
ATTRIBUTES = ("length", "lists", "markup", "exclamations", "flattery", "certainty", "doubt")


def attributes(text: str) -> list[float]:
    """Logarithms of 1 + words, list lines, marks, exclamations; shares of flattering, sure and doubting words."""
    words = tokens(text)
    count = max(len(words), 1)
    return [
        float(np.log1p(len(text.split()))),
        float(np.log1p(len(_LIST.findall(text)))),
        float(np.log1p(len(_MARKUP.findall(text)))),
        float(np.log1p(text.count("!"))),
        sum(word in _FLATTERY for word in words) / count,
        sum(word in _CERTAINTY for word in words) / count,
        sum(word in _DOUBT for word in words) / count,
    ]


def slope(difference: Floats, p_a: Floats, weight: Floats, clusters: Sequence[str]) -> tuple[float, float]:
    """Log odds of a per unit of difference, and its standard error clustered by prompt; (nan, nan) if undefined.

    One-parameter weighted logistic regression without intercept, as turning a pair round turns both signs; Newton's
    method. With fewer than two clusters that differ there is no error. A slope at `MAX_SLOPE` has no error either.
    """
    names, member = np.unique(np.array(clusters, dtype=object).astype(str), return_inverse=True)
    informs = (difference != 0.0) & (weight > 0.0)
    if len(np.unique(member[informs])) < 2:
        return float("nan"), float("nan")
    beta, curvature = 0.0, 1.0
    for _ in range(STEPS):
        p = expit(beta * difference)
        curvature = float(weight @ (difference**2 * p * (1.0 - p))) + 1e-12
        step = float(weight @ (difference * (p_a - p))) / curvature
        beta += float(np.clip(step, -1.0, 1.0))
        if abs(beta) > MAX_SLOPE:
            return float(np.copysign(MAX_SLOPE, beta)), float("nan")
        if abs(step) < 1e-10:
            break
    scores = np.bincount(member, weights=weight * difference * (p_a - expit(beta * difference)), minlength=len(names))
    used = len(np.unique(member[informs]))
    return beta, float(np.sqrt(used / (used - 1) * float(scores @ scores))) / curvature


def associations(
    rows: Sequence[PairTexts],
    *,
    rater_groups: Mapping[str, Sequence[str]] | None = None,
    level: float = 0.95,
    min_pairs: int = 50,
) -> dict[str, Any]:
    """Slope of the label on each attribute: of all pairs, per source, and per group of raters (JSON data).

    `rater_groups` maps pair ids to the groups whose raters judged the pair. A slope is in log odds per standard
    deviation of the attribute's difference over all pairs, with an interval of `level`. A source or group is set
    against the pairs outside it: `z` of the difference of slopes, and `stands_out` where it exceeds what chance would
    show in one of 20 reports over all comparisons made (Bonferroni). Parts of fewer than `min_pairs` pairs are counted
    only.
    """
    table = np.array([attributes(row.a) for row in rows]) - np.array([attributes(row.b) for row in rows])
    table = table.reshape(len(rows), len(ATTRIBUTES))
    spread = np.sqrt(np.mean(table**2, axis=0)) if len(rows) else np.ones(len(ATTRIBUTES))
    data = _Data(table / np.where(spread > 0.0, spread, 1.0), rows, level)
    parts = _parts(rows, rater_groups or {})
    large = {key: mask for key, mask in parts.items() if min_pairs <= int(mask.sum())}
    comparable = sum(int((~mask).sum()) >= min_pairs for mask in large.values()) * len(ATTRIBUTES)
    limit = float(norm.isf(0.025 / max(comparable, 1)))
    everything = np.ones(len(rows), dtype=np.bool_)
    report: dict[str, Any] = {
        "pairs": len(rows),
        "comparisons": comparable,
        "all": data.slopes(everything) if len(rows) >= min_pairs else {},
        "by_source": {},
        "by_rater_group": {},
        "too_few": {
            f"{kind}:{name}": int(mask.sum()) for (kind, name), mask in parts.items() if (kind, name) not in large
        },
    }
    for (kind, name), mask in large.items():
        outside = ~mask if int((~mask).sum()) >= min_pairs else None
        report[kind][name] = {"pairs": int(mask.sum()), "slopes": data.against(mask, outside, limit)}
    return report


class _Data:
    def __init__(self, table: Floats, rows: Sequence[PairTexts], level: float) -> None:
        self.table = table
        self.p_a = np.array([row.pair.p_a for row in rows], dtype=np.float64)
        self.weight = np.array([row.pair.weight for row in rows], dtype=np.float64)
        self.clusters = np.array([row.pair.prompt_id for row in rows], dtype=object)
        self.width = float(norm.isf((1.0 - level) / 2.0))

    def slopes(self, mask: NDArray[np.bool_]) -> dict[str, dict[str, float | None]]:
        return {name: self._entry(*self._slope(column, mask)) for column, name in enumerate(ATTRIBUTES)}

    def against(
        self, mask: NDArray[np.bool_], outside: NDArray[np.bool_] | None, limit: float
    ) -> dict[str, dict[str, float | bool | None]]:
        found: dict[str, dict[str, float | bool | None]] = {}
        for column, name in enumerate(ATTRIBUTES):
            beta, error = self._slope(column, mask)
            found[name] = {**self._entry(beta, error)}
            if outside is not None:
                other, other_error = self._slope(column, outside)
                z = (beta - other) / np.hypot(error, other_error)
                found[name] |= {"z": _number(z), "stands_out": bool(abs(z) > limit)}
        return found

    def _slope(self, column: int, mask: NDArray[np.bool_]) -> tuple[float, float]:
        return slope(self.table[mask, column], self.p_a[mask], self.weight[mask], list(self.clusters[mask]))

    def _entry(self, beta: float, error: float) -> dict[str, float | None]:
        half = self.width * error
        return {"slope": _number(beta), "low": _number(beta - half), "high": _number(beta + half)}


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _parts(rows: Sequence[PairTexts], groups: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], NDArray[np.bool_]]:
    parts: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for i, row in enumerate(rows):
        keys = [("by_source", row.prompt.source)] + [("by_rater_group", name) for name in groups.get(row.pair.id, ())]
        for key in keys:
            parts.setdefault(key, np.zeros(len(rows), dtype=np.bool_))[i] = True
    return dict(sorted(parts.items()))
