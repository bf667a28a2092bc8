"""SFT: a policy adapter from demonstrations."""

from backstay.errors import UsageError
from backstay.learn.models.adapters import save_adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.sft import Lesson, train_sft
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import load_base, prompt_tokens
from backstay.pipeline.texts import load_demonstrations


def run(context: StageContext) -> Summary:
    """Train on the demonstrations that the recipe names; write model/."""
    recipe = context.recipe
    model = load_base(recipe, context.say)
    lessons, counts = demonstration_lessons(context, model)
    adapter = train_sft(model, lessons, recipe.model, recipe.sft, context.folder)
    save_adapter(adapter, context.folder.path / "model", base=model.name, extra={"base_digest": model.digest})
    return counts


def demonstration_lessons(context: StageContext, model: LanguageModel) -> tuple[list[Lesson], Summary]:
    """The demonstrations that the recipe names, as tokens, and how many there are, were left out, and were cut."""
    recipe = context.recipe
    demonstrations = load_demonstrations(recipe, context.project, context.inputs)
    if not demonstrations:
        raise UsageError("there is no demonstration to learn from", cure="name a file in `demonstrations`")
    demonstrations = demonstrations[: recipe.sft.max_demonstrations or None]
    limit = context.recipe.sft.max_response_tokens
    text_of = {demonstration.prompt.id: demonstration.prompt for demonstration in demonstrations}
    kept, tokens = prompt_tokens(model, list(text_of.values()), context.say)
    tokens_of = {prompt.id: tuple(found) for prompt, found in zip(kept, tokens, strict=True)}
    lessons, cut = [], 0
    for demonstration in demonstrations:
        if demonstration.prompt.id in tokens_of:
            whole = model.response_tokens(demonstration.text, finished=True, limit=limit + 1)
            cut += len(whole) > limit
            lessons.append(Lesson(tokens_of[demonstration.prompt.id], tuple(whole[:limit])))
    left_out = len(demonstrations) - len(lessons)
    return lessons, {"demonstrations": len(lessons), "left_out": left_out, "cut": cut}
