"""Evaluate: the policy before and after, on prompts that nothing was trained on."""

import time
from collections.abc import Sequence

import torch

from backstay.errors import UsageError
from backstay.evaluate import ScoredResponse, compare_policies, side_by_side
from backstay.feedback import gold_score, is_refusal
from backstay.learn.decoding import sample
from backstay.learn.kl import k1
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.scalar_models import RewardMember
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import (
    batch_generator,
    load_base,
    load_ensemble,
    load_policy,
    prompt_tokens,
    response_texts,
)
from backstay.pipeline.texts import load_prompts
from backstay.records import Prompt, canonical_json
from backstay.storage import read_records, write_atomic, write_records

Job = tuple[Prompt, list[int]]


def run(context: StageContext) -> Summary:
    """Answer every held-out prompt before and after training; write responses.jsonl and evaluation.json."""
    recipe, settings = context.recipe, context.recipe.evaluate
    model = load_base(recipe, context.say)
    prompts, tokens = prompt_tokens(model, _heldout(context), context.say)
    jobs = [job for job in zip(prompts, tokens, strict=True) for _ in range(settings.responses)]
    jobs.sort(key=lambda job: len(job[1]))
    reference = (load_policy(model, context.inputs["sft"]),)
    members = load_ensemble(model, context.inputs["reward"])
    context.folder.truncate({})
    before = _answers(context, model, jobs, reference, reference, members, "before")
    policy = (*reference, load_policy(model, context.inputs[settings.policy]))
    after = _answers(context, model, jobs, policy, reference, members, "after")
    found = compare_policies(prompts, before, after, settings)
    samples = side_by_side(prompts, before, after, settings.samples)
    write_records(context.folder.path / "responses.jsonl", [*before, *after])
    write_atomic(context.folder.path / "evaluation.json", canonical_json({**found, "samples": samples}) + b"\n")
    return summary(found)


def summary(found: dict[str, dict[str, dict[str, float]]]) -> Summary:
    """The figures that the manifest repeats."""
    shown = {}
    for name in ("gold", "reward", "refusal", "over_refusal"):
        for side in ("before", "after"):
            metric = found[side].get(name)
            shown[f"{name}_{side}"] = None if metric is None else metric["mean"]
    return shown


def _heldout(context: StageContext) -> list[Prompt]:
    if context.recipe.rate.source == "simulated":
        prompts = load_prompts(context.recipe, context.project)
    else:
        prompts = read_records(context.inputs["rate"] / "prompts.jsonl", Prompt)
    held = [prompt for prompt in prompts if prompt.split == "heldout"]
    if not held:
        raise UsageError(
            "no prompt is held out, so nothing can be measured", cure='give some prompts "split": "heldout"'
        )
    return held


def _answers(
    context: StageContext,
    model: LanguageModel,
    jobs: Sequence[Job],
    adapters: Adapters,
    reference: Adapters,
    members: Sequence[RewardMember],
    side: str,
) -> list[ScoredResponse]:
    settings = context.recipe.evaluate
    answers: list[ScoredResponse] = []
    for number, start in enumerate(range(0, len(jobs), settings.batch_size)):
        started = time.perf_counter()
        batch = jobs[start : start + settings.batch_size]
        answers += _batch(context, model, batch, adapters, reference, members, number)
        context.folder.metrics({"side": side, "responses": len(answers), "of": len(jobs)})
        context.folder.timing({"side": side, "responses": len(batch), "seconds": time.perf_counter() - started})
    return answers


@torch.no_grad()
def _batch(
    context: StageContext,
    model: LanguageModel,
    batch: Sequence[Job],
    adapters: Adapters,
    reference: Adapters,
    members: Sequence[RewardMember],
    number: int,
) -> list[ScoredResponse]:
    settings = context.recipe.evaluate
    rollout = sample(
        model,
        [tokens for _, tokens in batch],
        adapters=adapters,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        generator=batch_generator(settings.seed, number),
        keep_branch=True,
    )
    dialogues, branch = rollout.dialogues, rollout.branch_B_T_D
    kl = torch.zeros(len(batch))
    if adapters != reference:
        under = branch_under(model.decoder, dialogues, branch, reference)
        logprob = response_logprobs(model.decoder, dialogues, under, reference, temperature=settings.temperature)
        kl = (k1(rollout.logprob_B_R, logprob) * dialogues.response_mask_B_R).sum(1)
    base = branch_under(model.decoder, dialogues, branch, ())
    scores = torch.stack([member(model.decoder, dialogues, base) for member in members])
    texts, lengths = response_texts(model, rollout), dialogues.response_B.tolist()
    rows = zip(batch, texts, rollout.finished_B.tolist(), scores.T.tolist(), kl.tolist(), lengths, strict=True)
    return [_scored(job[0], text, finished, score, nats, length) for job, text, finished, score, nats, length in rows]


def _scored(
    prompt: Prompt, text: str, finished: bool, scores: Sequence[float], kl_nats: float, tokens: int
) -> ScoredResponse:
    gold = gold_score(prompt, text, finished) if "family" in prompt.tags else None
    mean = sum(scores) / len(scores)
    spread = (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
    return ScoredResponse(
        prompt_id=prompt.id,
        text=text,
        finished=finished,
        gold=None if gold is None else gold.total,
        refused=is_refusal(text),
        reward=mean,
        spread=spread,
        kl_nats=kl_nats,
        tokens=tokens,
        agreed=None if gold is None or prompt.tags["family"] != "opinion" else gold.agreed,
    )
