"""What on-policy training needs, checked before anything runs."""

from collections.abc import Sequence

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.scorers import Scorer
from backstay.learn.sft import Lesson


def require_trainable(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    members: Sequence[Scorer],
    costs: Sequence[Scorer],
    lessons: Sequence[Lesson],
    references: Sequence[Sequence[Sequence[float]]] | None,
    settings: PpoSettings,
) -> None:
    """Raise UsageError for what cannot be trained."""
    if len(prompts) <= settings.probe_prompts:
        raise UsageError(
            f"{len(prompts)} prompts leave none to train on beside ppo.probe_prompts={settings.probe_prompts}",
            cure="bring more prompts, or lower ppo.probe_prompts",
        )
    if len(members) <= settings.held_out_members:
        raise UsageError(
            f"{len(members)} reward members leave none to train on beside "
            f"ppo.held_out_members={settings.held_out_members}",
            cure="raise reward.members, or lower ppo.held_out_members",
        )
    if references is not None and len(references) != len(prompts):
        raise UsageError(f"{len(references)} rows of reference scores for {len(prompts)} prompts")
    if settings.cost_threshold is not None and not costs:
        raise UsageError(
            "ppo.cost_threshold is set, but there is no cost model", cure="set reward.cost_members to 1 or more"
        )
    if settings.ptx_coefficient and not lessons:
        raise UsageError("ppo.ptx_coefficient is set, but there are no demonstrations to mix in")
    _require_prompts(model, prompts, settings)


def _require_prompts(model: LanguageModel, prompts: Sequence[Sequence[int]], settings: PpoSettings) -> None:
    """Raise UsageError for prompts that are empty, too long, or of another vocabulary."""
    architecture = model.decoder.architecture
    for index, prompt in enumerate(prompts):
        if not len(prompt):
            raise UsageError("a prompt has no tokens", cure="check prompts and chat template")
        if len(prompt) + settings.max_new_tokens > architecture.max_positions:
            raise UsageError(
                f"a prompt of {len(prompt)} tokens and {settings.max_new_tokens} new ones do not fit the model's "
                f"context of {architecture.max_positions}",
                cure="lower model.max_prompt_tokens or ppo.max_new_tokens",
            )
        foreign = [token for token in prompt if not 0 <= token < architecture.vocab_size]
        if foreign:
            raise UsageError(
                f"prompt {index} has token {foreign[0]}, but the model knows {architecture.vocab_size}",
                cure="use the tokenizer that belongs to the model",
            )
