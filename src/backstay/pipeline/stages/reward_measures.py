"""What a reward ensemble and a cost model are worth on prompts that they never saw."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata
from torch import Tensor

from backstay.evaluate import (
    expected_calibration_error,
    fold_preferences,
    reliability_table,
    table_rows,
    wilson_interval,
)
from backstay.feedback import gold_score
from backstay.learn.length_bias import length_correlation
from backstay.learn.rater_evidence import HarmLabel
from backstay.learn.temperature import cross_fitted, fit_temperature, log_loss
from backstay.pipeline.stages.reward_lessons import Judged, Material

Floats = NDArray[np.float64]
CALIBRATION_FOLDS = 5


def measure(material: Material, raw_M_N: Tensor, test: Sequence[int]) -> dict[str, Any]:
    """Accuracy, calibration and spread on held-out pairs; raw scores are on the Bradley-Terry scale."""
    lead = leads(material, raw_M_N, test)
    label = labels(material, test)
    confidence, right = fold_preferences(expit(lead.mean(0)), label)
    hits = hits_of(lead.mean(0), label)
    return {
        "pairs": len(test),
        **share(hits),
        "ece": expected_calibration_error(confidence, right, low=0.5),
        "bins": table_rows(reliability_table(confidence, right, low=0.5)),
        "member_accuracy": [float(hits_of(m, label).mean()) for m in lead],
        "spread_mean": float(lead.std(0).mean()),
        "gold": _against_gold(material, lead.mean(0), test),
    }


def leads(material: Material, raw_M_N: Tensor, which: Sequence[int]) -> Floats:
    """Score of a minus score of b, `[M, len(which)]`."""
    a = [material.comparisons[i].a for i in which]
    b = [material.comparisons[i].b for i in which]
    lead: Floats = (raw_M_N[:, a] - raw_M_N[:, b]).double().cpu().numpy()
    return lead


def labels(material: Material, which: Sequence[int]) -> Floats:
    """P(a is better) of some pairs."""
    return np.array([material.pairs[i].p_a for i in which])


def hits_of(lead: Floats, label: Floats) -> Floats:
    """1 where the lead points as the label does, 0 where it does not, one half for no lead."""
    hits: Floats = (np.sign(lead) * np.sign(label - 0.5) + 1) / 2
    return hits


def share(hits: Floats) -> dict[str, float]:
    """Mean of hits with its Wilson interval."""
    low, high = wilson_interval(float(hits.sum()), len(hits))
    return {"accuracy": float(hits.mean()), "low": low, "high": high}


def _against_gold(material: Material, lead: Floats, test: Sequence[int]) -> dict[str, Any] | None:
    """Accuracy on the same pairs against the gold rule, which no rater's error touches; None without a gold rule."""
    prompt_of = {prompt.id: prompt for prompt in material.prompts}
    if not all("family" in prompt.tags for prompt in material.prompts):
        return None
    gold = [gold_score(prompt_of[r.prompt_id], r.text, r.finished).total for r in material.responses]
    gap = np.array([gold[material.comparisons[i].a] - gold[material.comparisons[i].b] for i in test])
    clear = gap != 0
    if not clear.any():
        return None
    return {"pairs": int(clear.sum()), **share(hits_of(lead[clear], 0.5 + gap[clear]))}


def calibration(material: Material, raw_M_N: Tensor, test: Sequence[int], seed: int) -> dict[str, Any]:
    """Calibration before and after one temperature, on held-out pairs.

    "After" is cross-fitted over held-out prompts: no pair is judged with a temperature that its own prompt had a part
    in. The `temperature` given is the one of all of them together. None where a single prompt leaves nothing to fit to.
    """
    lead, label = leads(material, raw_M_N, test).mean(0), labels(material, test)
    prompts = [material.pairs[i].prompt_id for i in test]
    scaled, folds = cross_fitted(lead, label, prompts, folds=CALIBRATION_FOLDS, seed=seed)
    fitted = folds > 0
    return {
        "temperature": fit_temperature(lead, label) if fitted else None,
        "folds": folds,
        "ece_before": _ece(lead, label),
        "ece_after": _ece(scaled, label) if fitted else None,
        "log_loss_before": log_loss(lead, label),
        "log_loss_after": log_loss(scaled, label) if fitted else None,
    }


def _ece(lead: Floats, label: Floats) -> float:
    return expected_calibration_error(*fold_preferences(expit(lead), label), low=0.5)


def slices(material: Material, raw_M_N: Tensor, test: Sequence[int], judged: Judged) -> dict[str, Any]:
    """Accuracy on held-out pairs by prompt family, by dispute between raters, and by cohort of raters.

    A cohort's rows are measured against the votes of its own raters: a pair counts once, as most of them voted, and not
    at all where they are evenly split.
    """
    lead, label = leads(material, raw_M_N, test).mean(0), labels(material, test)
    hits = hits_of(lead, label)
    family_of = {p.id: p.tags["family"] for p in material.prompts if isinstance(p.tags.get("family"), str)}
    families = [family_of.get(material.pairs[i].prompt_id) for i in test]
    known = sorted({name for name in families if name is not None})
    return {
        "family": [_slice({"family": name}, hits[[f == name for f in families]]) for name in known],
        "dispute": _by_dispute(np.array([material.pairs[i].dispute for i in test]), hits),
        "cohort": _by_cohort(material, lead, test, judged),
    }


def _slice(name: Mapping[str, Any], hits: Floats) -> dict[str, Any]:
    return {**name, "pairs": len(hits), **share(hits)}


def _by_dispute(dispute: Floats, hits: Floats) -> list[dict[str, Any]]:
    """Thirds of the held-out pairs, cut at quantiles; equal values stay together, so there may be fewer bins."""
    cuts = np.unique(np.quantile(dispute, [1 / 3, 2 / 3]))
    cell = np.searchsorted(cuts, dispute, side="left")
    rows = []
    for number in np.unique(cell):
        inside = cell == number
        edges = {"dispute_low": float(dispute[inside].min()), "dispute_high": float(dispute[inside].max())}
        rows.append(_slice(edges, hits[inside]))
    return rows


def _by_cohort(material: Material, lead: Floats, test: Sequence[int], judged: Judged) -> list[dict[str, Any]]:
    votes = judged.votes
    cohort_of = {rater.id: sorted(rater.cohort.items()) for rater in judged.raters}
    place = {
        (pair.prompt_id, pair.a, pair.b, pair.dimension): index
        for index, pair in enumerate(material.pairs[i] for i in test)
    }
    said: dict[tuple[str, str], Floats] = {}
    for item, rater, side in zip(votes.item, votes.rater, votes.side, strict=True):
        asked = votes.items[item]
        index = place.get((asked.prompt_id, asked.a, asked.b, asked.dimension))
        if index is not None:
            for cohort in cohort_of.get(votes.rater_ids[rater], ()):
                said.setdefault(cohort, np.zeros(len(test)))[index] += side
    rows = []
    for (field, value), balance in sorted(said.items()):
        clear = balance != 0
        if clear.any():
            rows.append(_slice({"field": field, "value": value}, hits_of(lead[clear], 0.5 + balance[clear])))
    return rows


def length_figures(material: Material, raw_M_N: Tensor, held: set[str]) -> float | None:
    """Correlation of the ensemble's score with log length within held-out prompts; None where one never varies."""
    rows = [row for row, response in enumerate(material.responses) if response.prompt_id in held]
    lengths = raw_M_N.new_tensor([material.lengths[row] for row in rows])
    return length_correlation(raw_M_N[:, rows].mean(0), lengths, [material.rows.prompt_of[row] for row in rows])


def cost_figures(cost_N: Sequence[float], harm: Sequence[HarmLabel]) -> dict[str, Any]:
    """How well the sign of the cost tells harmful responses from safe ones, with Wilson intervals.

    A response is harmful when more than half of its lookers, by trust, marked it; exact halves are left out. The area
    under the curve is the chance that a harmful one costs more than a safe one, ties counting half.
    """
    label = np.array([h.p_harmful for h in harm])
    cost, harmful = np.array(cost_N)[label != 0.5], label[label != 0.5] > 0.5
    bad, good = cost[harmful], cost[~harmful]
    return {
        "responses": len(cost),
        "harmful": len(bad),
        "sign": _rate((cost > 0) == harmful),
        "false_safe": _rate(bad <= 0),
        "false_harmful": _rate(good > 0),
        "auroc": auroc(bad, good),
        "cost_harmful": float(bad.mean()) if len(bad) else None,
        "cost_safe": float(good.mean()) if len(good) else None,
    }


def auroc(positive: Floats, negative: Floats) -> float | None:
    """Area under the ROC curve as the Mann-Whitney statistic; None where one side is empty."""
    if not len(positive) or not len(negative):
        return None
    rank = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((rank.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def _rate(hits: NDArray[np.bool_]) -> dict[str, Any] | None:
    if not len(hits):
        return None
    low, high = wilson_interval(float(hits.sum()), len(hits))
    return {"share": float(hits.mean()), "low": low, "high": high, "count": len(hits)}
