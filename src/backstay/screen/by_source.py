"""Who and what stands behind quarantined pairs: raters and sources against what the overall rate lets expect."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, hypergeom

from backstay.records import Judgment, Pair

LEVEL = 0.05
"""Corrected p-value up to which a rater or source stands out."""

LEAST_STRENGTH, MOST_STRENGTH = 10.0, 10_000.0
"""Bounds of the prior's strength in pairs: what few pairs are drawn towards the overall rate with."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Membership:
    """That pairs belong to somebody: `who[i]` stands behind the pair with index `pair[i]`."""

    who: Sequence[str]
    pair: Sequence[int]


def judged_by(judgments: Sequence[Sequence[Judgment]]) -> Membership:
    """Raters by the pairs that they judged, each once; `judgments` are those of each pair."""
    found = [(rater, k) for k, given in enumerate(judgments) for rater in sorted({j.rater_id for j in given})]
    return Membership([rater for rater, _ in found], [k for _, k in found])


def answered_by(pairs: Sequence[Pair], policy: Mapping[str, str]) -> Membership:
    """Sources of responses by the pairs that hold one of theirs; `policy` names the source of a response id."""
    found = [(name, k) for k, pair in enumerate(pairs) for name in sorted({policy[pair.a], policy[pair.b]})]
    return Membership([name for name, _ in found], [k for _, k in found])


def quarantine_rates(pairs: Sequence[Pair], members: Membership) -> list[dict[str, Any]]:
    """One row a member: pairs, quarantined ones, how many were expected, a shrunk rate and a p-value (JSON data).

    `expected` is by the overall rate. `rate` is drawn to it by a beta prior that is fitted to all members, with its
    95 % interval; rows come by the lower bound, so that few pairs do not lead the list. `p_value` is Fisher's exact
    chance of as many or more, `p_corrected` by Bonferroni. Pairs of one prompt that are quarantined together count as
    less than their number (design effect). None where there is nobody to compare with.
    """
    if not members.pair:
        return []
    names, who = np.unique(np.array(members.who, dtype=object).astype(str), return_inverse=True)
    at = np.array(members.pair, dtype=np.int64)
    hit = np.array([pair.status == "quarantined" for pair in pairs], dtype=np.float64)[at]
    _, prompt = np.unique(np.array([pairs[k].prompt_id for k in members.pair]), return_inverse=True)
    n = np.bincount(who, minlength=names.size).astype(np.float64)
    k = np.bincount(who, weights=hit, minlength=names.size)
    effect = design_effect(hit, who * (int(prompt.max()) + 1) + prompt)
    p_value = upper_tail(k / effect, n / effect)
    rate, low, high = shrunk(k / effect, n / effect)
    reasons = _reasons(pairs, members)
    alone = names.size == 1
    rows: list[dict[str, Any]] = [
        {
            "name": str(names[m]),
            "pairs": int(n[m]),
            "quarantined": int(k[m]),
            "expected": None if alone else round(float(n[m] * hit.mean()), 2),
            "rate": round(float(rate[m]), 4),
            "low": round(float(low[m]), 4),
            "high": round(float(high[m]), 4),
            "p_value": None if alone else float(p_value[m]),
            "p_corrected": None if alone else float(min(1.0, p_value[m] * names.size)),
            "stands_out": bool(not alone and p_value[m] * names.size <= LEVEL),
            "by_reason": reasons.get(str(names[m]), {}),
        }
        for m in range(names.size)
    ]
    return sorted(rows, key=lambda row: (-row["low"], row["name"]))


def design_effect(hit: Floats, cell: Ints) -> float:
    """Variance of the sums of a cell's deviations over that of independent ones, at least 1."""
    deviation = hit - hit.mean()
    total = float(deviation @ deviation)
    if total == 0.0:
        return 1.0
    _, inverse = np.unique(cell, return_inverse=True)
    sums = np.bincount(inverse, weights=deviation)
    return max(1.0, float(sums @ sums) / total)


def upper_tail(k: Floats, n: Floats) -> Floats:
    """Chance of as many as k hits among n drawn from all, given how many there are in all (Fisher's exact test)."""
    few = np.floor(k + 1e-9)
    drawn, hits = np.maximum(np.round(n), few), max(round(float(k.sum())), int(few.max()))
    every = max(round(float(n.sum())), hits, int(drawn.max()))
    return np.asarray(hypergeom.sf(few - 1.0, every, hits, drawn), dtype=np.float64)


def shrunk(k: Floats, n: Floats) -> tuple[Floats, Floats, Floats]:
    """Posterior mean and central 95 % interval of each rate under a beta prior fitted by moments."""
    overall = float((k.sum() + 0.5) / (n.sum() + 1.0))
    variance = overall * (1.0 - overall)
    excess = float(np.sum(n * (k / n - overall) ** 2)) / variance - (n.size - 1)
    between = excess * variance / max(float(n.sum() - (n**2).sum() / n.sum()), 1e-9)
    strength = float(np.clip(variance / between - 1.0, LEAST_STRENGTH, MOST_STRENGTH)) if between > 0 else MOST_STRENGTH
    a, b = k + strength * overall, n - k + strength * (1.0 - overall)
    return a / (a + b), np.asarray(beta.ppf(0.025, a, b)), np.asarray(beta.ppf(0.975, a, b))


def _reasons(pairs: Sequence[Pair], members: Membership) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for name, at in zip(members.who, members.pair, strict=True):
        if pairs[at].status == "quarantined":
            counts.setdefault(name, Counter()).update(reasons_of(pairs[at]))
    return {name: dict(sorted(found.items())) for name, found in counts.items()}


def reasons_of(pair: Pair) -> set[str]:
    """The reasons for which screening set the pair aside, as `scanner/kind`."""
    return {f"{finding.scanner}/{finding.kind}" for finding in pair.findings if finding.scanner != "review"}
