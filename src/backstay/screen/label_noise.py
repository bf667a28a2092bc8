"""Labels that a reward which never saw them holds to be flipped: confident learning on cross-fitted margins."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.records import Finding
from backstay.screen.margins import Margins, cross_fitted_margins
from backstay.screen.texts import PairTexts

SCANNER = "label_noise"
MIN_PAIRS = 200
"""Pairs from which on a flip rate is estimated; with fewer nothing is said."""

Floats = NDArray[np.float64]
Findings = dict[str, tuple[Finding, ...]]


def wrong_label_probability(margins: Margins, is_a: NDArray[np.bool_]) -> Floats:
    """P(label flipped | label, texts) = noise * P(other side preferred) / P(this label), by Bayes' rule.

    The noise is the one that `labelled` and `preferred` imply for the pair's own fold: with q = e + (1 - 2e) p it is
    e = (q - p) / (1 - 2p), and where p is one half, the overall rate.
    """
    p = np.where(is_a, margins.preferred, 1.0 - margins.preferred)
    q = np.where(is_a, margins.labelled, 1.0 - margins.labelled)
    gap = 1.0 - 2.0 * p
    clear = np.abs(gap) > 1e-6
    noise = np.where(clear, (q - p) / np.where(clear, gap, 1.0), margins.noise)
    return np.clip(noise * (1.0 - p) / np.maximum(q, 1e-12), 0.0, 1.0)


def flagged(wrong: Floats, false_share: float, limit: float) -> NDArray[np.bool_]:
    """The most suspect pairs, as many as keep the expected share of right labels among them at `false_share` or less.

    The expected share is the mean of 1 - wrong over those flagged. At most `limit` of all pairs are flagged.
    """
    order = np.argsort(-wrong, kind="stable")
    expected = np.cumsum(1.0 - wrong[order]) / np.arange(1, len(wrong) + 1)
    below = np.flatnonzero(expected <= false_share)
    count = min(int(below[-1]) + 1 if len(below) else 0, int(limit * len(wrong)))
    mask = np.zeros(len(wrong), dtype=np.bool_)
    mask[order[:count]] = True
    return mask


def label_noise(
    rows: Sequence[PairTexts],
    *,
    margins: Margins | None = None,
    false_share: float = 0.25,
    limit: float = 0.4,
    folds: int = 5,
    ridge: float = 3.0,
    item_ridge: float = 0.3,
    seed: int = 0,
) -> tuple[Findings, dict[str, Any]]:
    """Findings `label_noise/label_noise` by pair id, and what was estimated (JSON data).

    Pairs that prefer no side (`chosen` is None) and gold pairs are never flagged. `false_share` bounds the share of
    flagged pairs whose label is expected to be right, `limit` the share of all pairs; both may be 0, which is off.
    `margins` of the same rows are computed when not given.
    """
    sided = np.array([row.chosen is not None for row in rows], dtype=np.bool_)
    if int(sided.sum()) < MIN_PAIRS or false_share == 0.0 or limit == 0.0:
        return {}, {"checked": 0, "flagged": 0, "why": "off" if false_share * limit == 0.0 else f"below {MIN_PAIRS}"}
    margins = margins or cross_fitted_margins(rows, folds=folds, ridge=ridge, item_ridge=item_ridge, seed=seed)
    is_a = np.array([row.pair.p_a > 0.5 for row in rows], dtype=np.bool_)
    gold = np.array([bool(row.pair.provenance.get("gold")) for row in rows], dtype=np.bool_)
    wrong = np.where(sided & ~gold, wrong_label_probability(margins, is_a), 0.0)
    mask = flagged(wrong, false_share, limit)
    found: Findings = {}
    for i in np.flatnonzero(mask).tolist():
        found[rows[i].pair.id] = (_finding(margins, bool(is_a[i]), i, float(wrong[i])),)
    return found, _summary(rows, margins, is_a & sided, sided, mask, wrong)


def _finding(margins: Margins, is_a: bool, row: int, wrong: float) -> Finding:
    agree = margins.preferred[row] if is_a else 1.0 - margins.preferred[row]
    evidence = (
        f"a reward fitted to other pairs gives the preferred answer {agree:.0%}; "
        f"at the estimated flip rate of {margins.noise:.0%} the label is wrong with {wrong:.0%}"
    )
    return Finding(scanner=SCANNER, kind="label_noise", severity="medium", evidence=evidence)


def _summary(
    rows: Sequence[PairTexts],
    margins: Margins,
    is_a: NDArray[np.bool_],
    sided: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    wrong: Floats,
) -> dict[str, Any]:
    agrees = (margins.margin > 0.0) == is_a
    return {
        "checked": int(sided.sum()),
        "flagged": int(mask.sum()),
        "flip_rate": round(margins.noise, 4),
        "expected_false_share": round(float(np.mean(1.0 - wrong[mask])), 4) if mask.any() else None,
        "agreement_out_of_fold": round(float(np.mean(agrees[sided])), 4),
        "log_loss_out_of_fold": round(_log_loss(margins.labelled[sided], is_a[sided]), 4),
        "shared_answers": margins.items,
        "folds": margins.folds,
        "by_source": _shares(rows, sided, mask),
    }


def _log_loss(labelled: Floats, is_a: NDArray[np.bool_]) -> float:
    own = np.where(is_a, labelled, 1.0 - labelled)
    return float(-np.mean(np.log(np.maximum(own, 1e-12))))


def _shares(
    rows: Sequence[PairTexts], sided: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> Mapping[str, dict[str, int]]:
    checked = Counter(rows[i].prompt.source for i in np.flatnonzero(sided).tolist())
    hit = Counter(rows[i].prompt.source for i in np.flatnonzero(mask).tolist())
    return {source: {"checked": checked[source], "flagged": hit[source]} for source in sorted(checked)}
