"""Reward: an ensemble on accepted pairs, measured on prompts that it never saw, and the cost model."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from backstay.errors import UsageError
from backstay.evaluate import wilson_interval
from backstay.learn.branch_states import BranchStates
from backstay.learn.cost_model import cost_lessons, train_cost_ensemble
from backstay.learn.decoding import sample
from backstay.learn.length_bias import length_slope, log_length
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rater_evidence import HarmLabel
from backstay.learn.reward import score_rows, train_members
from backstay.learn.scalar_models import RewardMember, normalise, save_member, scale
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import (
    batch_generator,
    load_base,
    load_policy,
    prompt_tokens,
    to_tokens,
)
from backstay.pipeline.stages.reward_lessons import Judged, Material, Teaching, harm_of_rows
from backstay.pipeline.stages.reward_measures import (
    calibration,
    cost_figures,
    hits_of,
    labels,
    leads,
    length_figures,
    measure,
    slices,
)
from backstay.records import Pair, Prompt, Response, canonical_json
from backstay.storage import RunFolder, read_records, write_atomic

NORMALISATION_RESPONSES = 96


def run(context: StageContext) -> Summary:
    """Train, measure, normalise; write model/member-N/, model-cost/member-N/, reward.json and features.safetensors."""
    recipe, settings = context.recipe, context.recipe.reward
    model = load_base(recipe, context.say)
    material = gather(context, model)
    judged = Judged.read(context.inputs["rate"], context.inputs.get("aggregate"))
    teaching = Teaching(material, judged, settings)
    held = heldout_prompts(material, settings.heldout_share, settings.seed)
    test = _tested(material, held)
    curricula = teaching.curricula(held)
    if not test:
        raise UsageError(
            f"no pair of the {len(held)} held-out prompts has a label with a side, so there is none to measure on",
            cure="collect more judgments, or look at `backstay quarantine ls`",
        )
    harm = harm_of_rows(material, judged, held) if settings.cost_members else {}
    count = len(curricula[0]) if teaching.bootstrap else sum(map(len, curricula))
    context.say(f"{count} pairs to learn from, {len(test)} pairs of {len(held)} held-out prompts to measure on")
    members = train_members(material.rows, curricula, settings, context.folder, bootstrap=teaching.bootstrap)
    raw = score_rows(material.rows, members, range(len(material.responses)))
    length: dict[str, Any] = {"correlation": length_figures(material, raw, held)}
    length |= {"correlation_debiased": None, "slopes": None}
    if settings.length_debias:
        raw = _debias(material, members, raw, held)
        length["correlation_debiased"] = length_figures(material, raw, held)
        length["slopes"] = [float(member.slope) for member in members]
    measured = measure(material, raw, test)
    normalisation = _normalise(context, model, material, members, raw, held)
    report = {
        "members": len(members),
        "heldout": measured,
        "heldout_prompts": sorted(held),
        "accuracy_by": slices(material, raw, test, judged),
        "calibration": calibration(material, raw, test, settings.seed) if settings.calibrate else None,
        "length": length,
        "normalisation": normalisation,
        "folds": _cross_validate(context, material, teaching) if settings.folds else None,
        "prompt_reference_scores": prompt_reference_scores(material, _normalised(members, raw)),
        "teaching": teaching.facts(curricula),
        "cost": _cost(context, model, material, harm, held) if settings.cost_members else None,
        "train_pairs": count,
        "responses_cut": material.cut,
    }
    _write(context, model, material, members)
    write_atomic(context.folder.path / "reward.json", canonical_json(report) + b"\n")
    return _summary(report)


def _summary(report: dict[str, Any]) -> Summary:
    """The figures that the manifest repeats."""
    heldout, cost = report["heldout"], report["cost"]
    found = {
        "members": report["members"],
        "train_pairs": report["train_pairs"],
        "heldout_pairs": heldout["pairs"],
        "heldout_accuracy": heldout["accuracy"],
        "ece": heldout["ece"],
        "spread": heldout["spread_mean"],
    }
    if report["folds"] is not None:
        found["fold_accuracy"] = report["folds"]["accuracy"]
    if cost is not None:
        found |= {"cost_members": cost["members"], "cost_terms": cost["terms"], "cost_auroc": cost["heldout"]["auroc"]}
    return found


def gather(context: StageContext, model: LanguageModel) -> Material:
    """Everything that rate and screen left for training: pairs of train prompts that are accepted or released."""
    rate, settings = context.inputs["rate"], context.recipe.reward
    found = [p for p in read_records(context.inputs["screen"] / "pairs.jsonl", Pair) if p.may_teach]
    train = {p.id: p for p in read_records(rate / "prompts.jsonl", Prompt) if p.split == "train"}
    kept, tokens = prompt_tokens(model, list(train.values()), context.say)
    index_of = {prompt.id: index for index, prompt in enumerate(kept)}
    found = [p for p in found if p.prompt_id in index_of]
    wanted = {response for pair in found for response in (pair.a, pair.b)}
    responses = [r for r in read_records(rate / "responses.jsonl", Response) if r.id in wanted]
    encoded, cut = to_tokens(model, responses, settings.max_response_tokens)
    rows = BranchStates(model, tokens, encoded, [index_of[r.prompt_id] for r in responses])
    rows.notify = context.say
    harmless = [p for p in found if settings.cost_members and p.dimension == "harmless"]
    pairs = [p for p in found if not (settings.cost_members and p.dimension == "harmless")]
    material = Material(kept, responses, rows, pairs, [], cut, harmless)
    material.comparisons.extend(material.comparison(pair) for pair in pairs)
    return material


def heldout_prompts(material: Material, share: float, seed: int) -> set[str]:
    """A random share of the prompts that have pairs; all pairs of a prompt fall on one side."""
    ids = sorted({pair.prompt_id for pair in (*material.pairs, *material.harmless)})
    order = np.random.default_rng(seed).permutation(len(ids))
    return {ids[index] for index in order[: max(1, round(share * len(ids)))]}


def _tested(material: Material, held: Collection[str]) -> list[int]:
    """Pairs of some prompts whose label has a side."""
    return [i for i, pair in enumerate(material.pairs) if pair.prompt_id in held and pair.p_a != 0.5]


def _debias(material: Material, members: Sequence[RewardMember], raw_M_N: Tensor, held: Collection[str]) -> Tensor:
    """Fit each member's length slope to the rows of all prompts but the held ones, and take it out of all rows."""
    own = [row for row, response in enumerate(material.responses) if response.prompt_id not in held]
    prompt_of = [material.rows.prompt_of[row] for row in own]
    lengths = torch.tensor(material.lengths)
    for member, scores in zip(members, raw_M_N, strict=True):
        member.slope.fill_(length_slope(scores[own], lengths[own], prompt_of))
    slopes = torch.stack([member.slope for member in members])[:, None]
    return raw_M_N - slopes * log_length(lengths).to(raw_M_N)


def _normalise(
    context: StageContext,
    model: LanguageModel,
    material: Material,
    members: Sequence[RewardMember],
    raw_M_N: Tensor,
    held: set[str],
) -> dict[str, Any]:
    """Mean 0 and deviation 1 on SFT responses to train prompts: those that were rated, or else fresh ones."""
    own = [row for row, r in enumerate(material.responses) if r.policy == "sft" and r.prompt_id not in held]
    scores = raw_M_N[:, own] if own else _fresh_scores(context, model, material, members)
    normalise(members, scores)
    count = scores.shape[1]
    return {"responses": count, "mean": float(scores.mean()), "std": float(scores.mean(0).std(unbiased=False))}


def _normalised(members: Sequence[RewardMember], raw_M_N: Tensor) -> list[list[float]]:
    """Each member's score of every row, `[N, M]`, on the scale of the ensemble."""
    gain = torch.stack([member.gain for member in members])[:, None]
    bias = torch.stack([member.bias for member in members])[:, None]
    scores: list[list[float]] = (gain * raw_M_N + bias).T.tolist()
    return scores


def prompt_reference_scores(
    material: Material, scores_N_M: Sequence[Sequence[float]]
) -> dict[str, list[Sequence[float]]]:
    """All members' scores of each prompt's responses of the SFT policy; of all rated ones where it gave none."""
    every: dict[str, list[Sequence[float]]] = {}
    sft: dict[str, list[Sequence[float]]] = {}
    for response, score in zip(material.responses, scores_N_M, strict=True):
        every.setdefault(response.prompt_id, []).append(score)
        if response.policy == "sft":
            sft.setdefault(response.prompt_id, []).append(score)
    return every | sft


def _fresh_scores(
    context: StageContext, model: LanguageModel, material: Material, members: Sequence[RewardMember]
) -> Tensor:
    policy, settings = load_policy(model, context.inputs["sft"]), context.recipe.sample
    prompts = [list(tokens) for tokens in material.rows.prompts[:NORMALISATION_RESPONSES]]
    rollout = sample(
        model,
        prompts,
        adapters=(policy,),
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        generator=batch_generator(settings.seed, 0),
    )
    rows = BranchStates(model, prompts, rollout.responses(), range(len(prompts)))
    return score_rows(rows, members, range(len(rows)))


def _cross_validate(context: StageContext, material: Material, teaching: Teaching) -> dict[str, Any]:
    """Accuracy of ensembles on prompts of the fold that each was not trained on."""
    settings = context.recipe.reward
    ids = sorted({pair.prompt_id for pair in material.pairs})
    order = np.random.default_rng(settings.seed + 1).permutation(len(ids))
    fold_of = {ids[index]: place % settings.folds for place, index in enumerate(order)}
    hits: list[float] = []
    for fold in range(settings.folds):
        context.say(f"cross-validation: fold {fold + 1} of {settings.folds}")
        inside = {prompt for prompt, own in fold_of.items() if own == fold}
        test = _tested(material, inside)
        curricula = teaching.curricula(inside)
        folder = RunFolder(context.folder.path / "folds" / f"fold-{fold}")
        members = train_members(material.rows, curricula, settings, folder, bootstrap=teaching.bootstrap)
        scores = score_rows(material.rows, members, range(len(material.responses)))
        if settings.length_debias:
            scores = _debias(material, members, scores, inside)
        hits += hits_of(leads(material, scores, test).mean(0), labels(material, test)).tolist()
        folder.clear_checkpoints()
    low, high = wilson_interval(sum(hits), len(hits))
    return {"folds": settings.folds, "pairs": len(hits), "accuracy": sum(hits) / len(hits), "low": low, "high": high}


def _cost(
    context: StageContext, model: LanguageModel, material: Material, harm: Mapping[int, HarmLabel], held: set[str]
) -> dict[str, Any]:
    """Train the cost model, write it, and measure its sign on held-out prompts."""
    seen = {row: label for row, label in harm.items() if material.responses[row].prompt_id not in held}
    unseen = [row for row in sorted(harm) if row not in seen]
    safer = [material.comparison(pair) for pair in material.harmless if pair.prompt_id not in held]
    terms = "ranking and sign" if safer else "sign only: no pair of dimension harmless may teach"
    context.say(f"cost model: {len(seen)} responses marked for harm, {len(safer)} pairs of them ({terms})")
    folder = RunFolder(context.folder.path / "cost")
    lessons = cost_lessons(seen, safer)
    members = train_cost_ensemble(material.rows, lessons, context.recipe.reward, folder)
    folder.clear_checkpoints()
    scale(members, score_rows(material.rows, members, sorted(seen)))
    for index, member in enumerate(members):
        path = context.folder.path / "model-cost" / f"member-{index}"
        save_member(member, path, base=model.name, digest=model.digest)
    scores = score_rows(material.rows, members, unseen).mean(0).tolist() if unseen else []
    return {
        "members": len(members),
        "terms": terms,
        "train_responses": len(seen),
        "train_pairs": len(safer),
        "heldout": cost_figures(scores, [harm[row] for row in unseen]),
    }


@torch.no_grad()
def _write(context: StageContext, model: LanguageModel, material: Material, members: Sequence[RewardMember]) -> None:
    for index, member in enumerate(members):
        path = context.folder.path / "model" / f"member-{index}"
        save_member(member, path, base=model.name, digest=model.digest)
    ids = canonical_json([r.id for r in material.responses]).decode()
    metadata = {"ids": ids, "sizes": canonical_json(list(members[0].head.sizes)).decode()}
    save_file(
        {"pooled": material.rows.features().cpu()}, context.folder.path / "features.safetensors", metadata=metadata
    )
