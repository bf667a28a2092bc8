"""DPO: a policy from the accepted pairs themselves, with no reward model between."""

from collections.abc import Sequence
from dataclasses import dataclass

from backstay.errors import UsageError
from backstay.learn.lessons import Comparison
from backstay.learn.models.adapters import save_adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.preference import PreferenceTrainer
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import load_base, load_policy, prompt_tokens, to_tokens
from backstay.records import Pair, Prompt, Response
from backstay.storage import read_records


@dataclass(frozen=True)
class Material:
    """Prompts and responses as tokens, and the usable pairs between them; `empty` counts pairs that lack a text."""

    prompts: list[list[int]]
    responses: list[list[int]]
    prompt_of: list[int]
    pairs: list[Comparison]
    cut: int
    empty: int


def run(context: StageContext) -> Summary:
    """Train on the accepted pairs of train prompts; write model/."""
    recipe, settings = context.recipe, context.recipe.dpo
    model = load_base(recipe, context.say)
    material = gather(context, model)
    context.say(f"{len(material.pairs)} pairs of {len(set(material.prompt_of))} prompts, loss {settings.loss}")
    trainer = PreferenceTrainer(
        model,
        material.prompts,
        material.responses,
        material.prompt_of,
        material.pairs,
        reference=(load_policy(model, context.inputs["sft"]),),
        shape=recipe.model,
        settings=settings,
        folder=context.folder,
        notify=context.say,
    )
    result = trainer.run()
    notes = {"base_digest": model.digest, "over": "sft"}
    save_adapter(result.policy, context.folder.path / "model", base=model.name, extra=notes)
    early = {}
    if result.reason == "kl_budget":
        early["stop_reason"] = f"kl_budget: rolled back to the last policy within {settings.kl_budget} nats a response"
        context.say(f"dpo ended early: {early['stop_reason']}")
    return {
        "loss": settings.loss,
        "pairs": len(material.pairs),
        "pairs_with_empty_response": material.empty,
        "responses_cut": material.cut,
        "steps": result.steps,
        "reason": result.reason,
        "kl_nats": result.kl_nats,
        **early,
    }


def gather(context: StageContext, model: LanguageModel) -> Material:
    """Everything that rate and screen left for training: pairs of train prompts that are accepted or released.

    Pairs with an empty response are left out and counted. Raises UsageError when no pair is left.
    """
    rate = context.inputs["rate"]
    train = [p for p in read_records(rate / "prompts.jsonl", Prompt) if p.split == "train"]
    kept, tokens = prompt_tokens(model, train, context.say)
    index_of = {prompt.id: index for index, prompt in enumerate(kept)}
    screened = read_records(context.inputs["screen"] / "pairs.jsonl", Pair)
    pairs = [p for p in screened if p.may_teach and p.prompt_id in index_of]
    wanted = {response for pair in pairs for response in (pair.a, pair.b)}
    responses = [r for r in read_records(rate / "responses.jsonl", Response) if r.id in wanted]
    encoded, cut = to_tokens(model, responses, context.recipe.dpo.max_response_tokens)
    spoken = {r.id: found for r, found in zip(responses, encoded, strict=True) if found}
    whole = [pair for pair in pairs if pair.a in spoken and pair.b in spoken]
    if not whole:
        raise UsageError(
            "no accepted pair is left to learn from", cure="collect more judgments, or look at `backstay quarantine ls`"
        )
    return _material(whole, responses, spoken, tokens, index_of, cut, len(pairs) - len(whole))


def _material(
    pairs: Sequence[Pair],
    responses: Sequence[Response],
    spoken: dict[str, list[int]],
    prompts: list[list[int]],
    index_of: dict[str, int],
    cut: int,
    empty: int,
) -> Material:
    used = {response for pair in pairs for response in (pair.a, pair.b)}
    rows = [response for response in responses if response.id in used]
    row_of = {response.id: row for row, response in enumerate(rows)}
    return Material(
        prompts=prompts,
        responses=[spoken[response.id] for response in rows],
        prompt_of=[index_of[response.prompt_id] for response in rows],
        pairs=[Comparison(row_of[p.a], row_of[p.b], p.p_a, p.weight) for p in pairs],
        cut=cut,
        empty=empty,
    )
