"""Policy optimisation: a policy that scores better, within its KL budget and its cost threshold."""

import json
from collections.abc import Mapping, Sequence

from safetensors.torch import save_file

from backstay.feedback import gold_score, is_refusal
from backstay.learn.models.adapters import save_adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rewards.http_reward import HttpReward
from backstay.learn.rewards.text_rewards import TextReward, TextScorer, load_function
from backstay.learn.rl import PolicyResult, PolicyTrainer
from backstay.learn.rl.scorers import Scorer
from backstay.learn.rl.watch import Gold
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import load_base, load_costs, load_ensemble, load_policy, prompt_tokens
from backstay.pipeline.stages.sft import demonstration_lessons
from backstay.records import Prompt
from backstay.storage import read_records


def run(context: StageContext) -> Summary:
    """Train on the train prompts; write model/ and the critics."""
    recipe, settings = context.recipe, context.recipe.ppo
    model = load_base(recipe, context.say)
    every = read_records(context.inputs["rate"] / "prompts.jsonl", Prompt)
    prompts, tokens = prompt_tokens(model, [p for p in every if p.split == "train"], context.say)
    members = _reward(model, context, prompts, tokens)
    trainer = PolicyTrainer(
        model,
        tokens,
        reference=(load_policy(model, context.inputs["sft"]),),
        members=members,
        references=_references(context, prompts) if settings.reward == "ensemble" else None,
        costs=load_costs(model, context.inputs["reward"]) if settings.cost_threshold is not None else (),
        lessons=demonstration_lessons(context, model)[0] if settings.ptx_coefficient else (),
        shape=recipe.model,
        settings=settings,
        folder=context.folder,
        gold=gold_rule(prompts),
        refuses=is_refusal,
    )
    result = trainer.run()
    path = context.folder.path
    save_adapter(result.policy, path / "model", base=model.name, extra={"base_digest": model.digest, "over": "sft"})
    for name, critic in result.critics.items():
        (path / name).mkdir(exist_ok=True)
        save_file({k: v.cpu() for k, v in critic.state_dict().items()}, path / name / f"{name}.safetensors")
    return _summary(result, members, settings, context)


def _summary(result: PolicyResult, members: Sequence[Scorer], settings: PpoSettings, context: StageContext) -> Summary:
    why = {
        "kl_budget": f"kl_budget: rolled back to the last good policy within {settings.kl_budget} nats a response",
        "alarm": f"alarm ({settings.on_alarm}) {'; '.join(result.alarms[-1:])}",
    }
    for alarm in result.alarms:
        context.say(f"reward-hacking alarm {alarm}")
    failures = [(dict(m.failures), m.last_failure) for m in members if isinstance(m, TextScorer) and m.failures]
    for counts, last in failures:
        context.say(f"responses without a score, by reason: {counts}; the last: {last}")
    early = {"stop_reason": why[result.reason]} if result.reason in why else {}
    if early:
        context.say(f"ppo ended early: {early['stop_reason']}")
    shown = {"algorithm": settings.algorithm, "updates": result.updates, "reason": result.reason}
    failed = {"failures": [counts for counts, _ in failures]} if failures else {}
    return {**shown, "kl_nats": result.kl_nats, **early, "alarms": list(result.alarms), **failed}


def _reward(
    model: LanguageModel, context: StageContext, prompts: Sequence[Prompt], tokens: Sequence[Sequence[int]]
) -> Sequence[Scorer]:
    """The reward that the recipe names."""
    named, timeout_s = context.recipe.ppo.reward, context.recipe.ppo.reward_timeout_s
    texts = plain_prompts(prompts, tokens)
    if named == "ensemble":
        return load_ensemble(model, context.inputs["reward"])
    if named.startswith("python:"):
        function = load_function(named.removeprefix("python:"), folder=context.project.root)
        return [TextReward(model, function, timeout_s=timeout_s, prompt_texts=texts)]
    token = context.recipe.ppo.reward_token_variable
    return [HttpReward(model, named, timeout_s=timeout_s, token_variable=token, prompt_texts=texts)]


def plain_prompts(prompts: Sequence[Prompt], tokens: Sequence[Sequence[int]]) -> Mapping[tuple[int, ...], str]:
    """Texts of prompts by their tokens, where each is a single turn; none where any is a dialogue.

    Of a dialogue the last turn alone would mislead a reward; without texts, prompts go as the model reads them, whole.
    """
    if any(len(prompt.messages) > 1 for prompt in prompts):
        return {}
    return {tuple(row): prompt.messages[0].content for prompt, row in zip(prompts, tokens, strict=True)}


def _references(context: StageContext, prompts: Sequence[Prompt]) -> list[list[list[float]]]:
    """Every member's scores of each prompt's reference responses.

    A prompt whose pairs were all quarantined takes the mean of the others.
    """
    report = json.loads((context.inputs["reward"] / "reward.json").read_text())
    known: dict[str, list[list[float]]] = report["prompt_reference_scores"]
    rows = [row for responses in known.values() for row in responses]
    usual = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    missing = sum(prompt.id not in known for prompt in prompts)
    if missing:
        context.say(f"{missing} of {len(prompts)} prompts have no accepted pair; their score baseline is the mean")
    return [known.get(prompt.id, [usual]) for prompt in prompts]


def gold_rule(prompts: Sequence[Prompt]) -> Gold | None:
    """The gold rule as something to watch, where the prompts have one. No reward contains it."""
    if not all("family" in prompt.tags for prompt in prompts):
        return None
    return lambda index, text, finished: gold_score(prompts[index], text, finished).total
