"""Reward: an ensemble on accepted pairs, measured on prompts that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from backstay.errors import UsageError
from backstay.evaluate import (
    expected_calibration_error,
    fold_preferences,
    reliability_table,
    table_rows,
    wilson_interval,
)
from backstay.feedback import gold_score
from backstay.learn.branch_states import BranchStates
from backstay.learn.decoding import sample
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.reward import Comparison, score_rows, train_ensemble
from backstay.learn.scalar_models import RewardMember, normalise, save_member
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import batch_generator, load_base, load_policy, prompt_tokens, to_tokens
from backstay.records import Pair, Prompt, Response, canonical_json
from backstay.storage import RunFolder, read_records, write_atomic

NORMALISATION_RESPONSES = 96


@dataclass(frozen=True)
class Material:
    """Responses as rows of branch states, and the usable pairs between them."""

    prompts: list[Prompt]
    responses: list[Response]
    rows: BranchStates
    pairs: list[Pair]
    comparisons: list[Comparison]
    cut: int


def run(context: StageContext) -> Summary:
    """Train, measure, normalise; write model/member-N/, reward.json and features.safetensors."""
    recipe, settings = context.recipe, context.recipe.reward
    model = load_base(recipe, context.say)
    material = gather(context, model)
    held = heldout_prompts(material, settings.heldout_share, settings.seed)
    train = [c for c, p in zip(material.comparisons, material.pairs, strict=True) if p.prompt_id not in held]
    test = [i for i, p in enumerate(material.pairs) if p.prompt_id in held and p.p_a != 0.5]
    if not train or not test:
        raise UsageError(
            f"{len(train)} pairs to train on and {len(test)} to test on are too few",
            cure="collect more judgments, or look at `backstay quarantine ls`",
        )
    context.say(f"{len(train)} pairs to learn from, {len(test)} pairs of {len(held)} held-out prompts to measure on")
    members = train_ensemble(material.rows, train, settings, context.folder)
    raw = score_rows(material.rows, members, range(len(material.responses)))
    measured = _measure(material, raw, test)
    normalisation = _normalise(context, model, material, members, raw, held)
    baseline = prompt_baselines(material, members, raw)
    folds = _cross_validate(context, material) if settings.folds else None
    _write(context, model, material, members)
    report = {
        "members": len(members),
        "heldout": measured,
        "heldout_prompts": sorted(held),
        "normalisation": normalisation,
        "folds": folds,
        "prompt_baselines": baseline,
        "train_pairs": len(train),
        "responses_cut": material.cut,
    }
    write_atomic(context.folder.path / "reward.json", canonical_json(report) + b"\n")
    accuracy = {"heldout_accuracy": measured["accuracy"], "ece": measured["ece"], "spread": measured["spread_mean"]}
    crossed = {} if folds is None else {"fold_accuracy": folds["accuracy"]}
    return {"members": len(members), "train_pairs": len(train), "heldout_pairs": len(test), **accuracy, **crossed}


def gather(context: StageContext, model: LanguageModel) -> Material:
    """Everything that rate and screen left for training: pairs of train prompts that are accepted or released."""
    rate = context.inputs["rate"]
    pairs = [p for p in read_records(context.inputs["screen"] / "pairs.jsonl", Pair) if _usable(p)]
    train = {p.id: p for p in read_records(rate / "prompts.jsonl", Prompt) if p.split == "train"}
    kept, tokens = prompt_tokens(model, list(train.values()), context.say)
    index_of = {prompt.id: index for index, prompt in enumerate(kept)}
    pairs = [p for p in pairs if p.prompt_id in index_of]
    wanted = {response for pair in pairs for response in (pair.a, pair.b)}
    responses = [r for r in read_records(rate / "responses.jsonl", Response) if r.id in wanted]
    encoded, cut = to_tokens(model, responses, context.recipe.reward.max_response_tokens)
    row_of = {response.id: row for row, response in enumerate(responses)}
    rows = BranchStates(model, tokens, encoded, [index_of[r.prompt_id] for r in responses])
    rows.notify = context.say
    comparisons = [Comparison(row_of[p.a], row_of[p.b], p.p_a, p.weight) for p in pairs]
    return Material(kept, responses, rows, pairs, comparisons, cut)


def _usable(pair: Pair) -> bool:
    return pair.status in ("accepted", "released") and pair.weight > 0


def heldout_prompts(material: Material, share: float, seed: int) -> set[str]:
    """A random share of the prompts that have pairs; all pairs of a prompt fall on one side."""
    ids = sorted({pair.prompt_id for pair in material.pairs})
    order = np.random.default_rng(seed).permutation(len(ids))
    return {ids[index] for index in order[: max(1, round(share * len(ids)))]}


def _measure(material: Material, raw_M_N: Tensor, test: Sequence[int]) -> dict[str, Any]:
    """Accuracy, calibration and spread on held-out pairs; raw scores are on the Bradley-Terry scale."""
    margin = _margins(material, raw_M_N, test)
    label = np.array([material.pairs[i].p_a for i in test])
    confidence, right = fold_preferences(1 / (1 + np.exp(-margin.mean(0))), label)
    hits = _hits(margin.mean(0), label)
    low, high = wilson_interval(float(hits.sum()), len(hits))
    return {
        "pairs": len(test),
        "accuracy": float(hits.mean()),
        "low": low,
        "high": high,
        "ece": expected_calibration_error(confidence, right, low=0.5),
        "bins": table_rows(reliability_table(confidence, right, low=0.5)),
        "member_accuracy": [float(_hits(m, label).mean()) for m in margin],
        "spread_mean": float(margin.std(0).mean()),
        "gold": _against_gold(material, margin.mean(0), test),
    }


def _margins(material: Material, raw_M_N: Tensor, which: Sequence[int]) -> np.ndarray:
    a = [material.comparisons[i].a for i in which]
    b = [material.comparisons[i].b for i in which]
    margin: np.ndarray = (raw_M_N[:, a] - raw_M_N[:, b]).double().cpu().numpy()
    return margin


def _hits(margin: np.ndarray, label: np.ndarray) -> np.ndarray:
    hits: np.ndarray = (np.sign(margin) * np.sign(label - 0.5) + 1) / 2
    return hits


def _against_gold(material: Material, margin: np.ndarray, test: Sequence[int]) -> dict[str, Any] | None:
    """Accuracy on the same pairs against the gold rule, which no rater's error touches; None without a gold rule."""
    prompt_of = {prompt.id: prompt for prompt in material.prompts}
    if not all("family" in prompt.tags for prompt in material.prompts):
        return None
    gold = [gold_score(prompt_of[r.prompt_id], r.text, r.finished).total for r in material.responses]
    gap = np.array([gold[material.comparisons[i].a] - gold[material.comparisons[i].b] for i in test])
    clear = gap != 0
    if not clear.any():
        return None
    hits = _hits(margin[clear], 0.5 + gap[clear])
    low, high = wilson_interval(float(hits.sum()), len(hits))
    return {"pairs": int(clear.sum()), "accuracy": float(hits.mean()), "low": low, "high": high}


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


def prompt_baselines(material: Material, members: Sequence[RewardMember], raw_M_N: Tensor) -> dict[str, float]:
    """Mean normalised score of each prompt's rated responses; PPO's reward is what a response scores above it."""
    gain = torch.stack([member.gain for member in members])[:, None]
    bias = torch.stack([member.bias for member in members])[:, None]
    scores = (gain * raw_M_N + bias).mean(0).tolist()
    found: dict[str, list[float]] = {}
    for response, score in zip(material.responses, scores, strict=True):
        found.setdefault(response.prompt_id, []).append(score)
    return {prompt: sum(values) / len(values) for prompt, values in found.items()}


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


def _cross_validate(context: StageContext, material: Material) -> dict[str, Any]:
    """Accuracy of ensembles on prompts of the fold that each was not trained on."""
    settings = context.recipe.reward
    ids = sorted({pair.prompt_id for pair in material.pairs})
    order = np.random.default_rng(settings.seed + 1).permutation(len(ids))
    fold_of = {ids[index]: place % settings.folds for place, index in enumerate(order)}
    hits: list[float] = []
    for fold in range(settings.folds):
        context.say(f"cross-validation: fold {fold + 1} of {settings.folds}")
        pairs = list(enumerate(material.pairs))
        train = [material.comparisons[i] for i, p in pairs if fold_of[p.prompt_id] != fold]
        test = [i for i, p in pairs if fold_of[p.prompt_id] == fold and p.p_a != 0.5]
        folder = RunFolder(context.folder.path / "folds" / f"fold-{fold}")
        members = train_ensemble(material.rows, train, settings, folder)
        used = sorted({row for i in test for row in (material.comparisons[i].a, material.comparisons[i].b)})
        scores = torch.zeros(len(members), len(material.responses))
        scores[:, used] = score_rows(material.rows, members, used).cpu()
        label = np.array([material.pairs[i].p_a for i in test])
        hits += _hits(_margins(material, scores, test).mean(0), label).tolist()
        folder.clear_checkpoints()
    low, high = wilson_interval(sum(hits), len(hits))
    return {"folds": settings.folds, "pairs": len(hits), "accuracy": sum(hits) / len(hits), "low": low, "high": high}


@torch.no_grad()
def _write(context: StageContext, model: LanguageModel, material: Material, members: Sequence[RewardMember]) -> None:
    for index, member in enumerate(members):
        save_member(member, context.folder.path / "model" / f"member-{index}", base=model.name)
    ids = canonical_json([r.id for r in material.responses]).decode()
    metadata = {"ids": ids, "sizes": canonical_json(list(members[0].head.sizes)).decode()}
    save_file(
        {"pooled": material.rows.features().cpu()}, context.folder.path / "features.safetensors", metadata=metadata
    )
