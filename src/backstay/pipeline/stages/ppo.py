"""PPO: a policy that scores better, within its KL budget."""

import json
from collections.abc import Sequence

from safetensors.torch import save_file

from backstay.feedback import gold_score
from backstay.learn.models.adapters import save_adapter
from backstay.learn.rl import PpoTrainer
from backstay.learn.rl.trainer import Monitor
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import load_base, load_ensemble, load_policy, prompt_tokens
from backstay.records import Prompt
from backstay.storage import read_records


def run(context: StageContext) -> Summary:
    """Train on the train prompts; write model/ and value/."""
    recipe = context.recipe
    model = load_base(recipe, context.say)
    every = read_records(context.inputs["rate"] / "prompts.jsonl", Prompt)
    prompts, tokens = prompt_tokens(model, [p for p in every if p.split == "train"], context.say)
    trainer = PpoTrainer(
        model,
        tokens,
        reference=(load_policy(model, context.inputs["sft"]),),
        members=load_ensemble(model, context.inputs["reward"]),
        baseline=_baselines(context, prompts),
        shape=recipe.model,
        settings=recipe.ppo,
        folder=context.folder,
        monitor=gold_monitor(prompts),
    )
    result = trainer.run()
    path = context.folder.path
    save_adapter(result.policy, path / "model", base=model.name, extra={"base_digest": model.digest, "over": "sft"})
    (path / "value").mkdir(exist_ok=True)
    save_file({k: v.cpu() for k, v in result.value.state_dict().items()}, path / "value" / "value.safetensors")
    early = {}
    if result.reason == "kl_budget":
        early["stop_reason"] = (
            f"kl_budget: rolled back to the last policy within {recipe.ppo.kl_budget} nats a response"
        )
        context.say(f"ppo ended early: {early['stop_reason']}")
    return {"updates": result.updates, "reason": result.reason, "kl_nats": result.kl_nats, **early}


def _baselines(context: StageContext, prompts: Sequence[Prompt]) -> list[float]:
    """The prompts' baselines; a prompt whose pairs were all quarantined has none and takes the mean of the others."""
    known = json.loads((context.inputs["reward"] / "reward.json").read_text())["prompt_baselines"]
    mean = sum(known.values()) / len(known)
    missing = sum(prompt.id not in known for prompt in prompts)
    if missing:
        context.say(f"{missing} of {len(prompts)} prompts have no accepted pair; their score baseline is the mean")
    return [known.get(prompt.id, mean) for prompt in prompts]


def gold_monitor(prompts: Sequence[Prompt]) -> Monitor | None:
    """The gold rule as something to watch, where the prompts have one. Training never uses it."""
    if not all("family" in prompt.tags for prompt in prompts):
        return None
    return lambda index, text, finished: gold_score(prompts[index], text, finished).total
