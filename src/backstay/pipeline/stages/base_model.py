"""What the training stages share: the base model with adapters and reward members of earlier runs on it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from backstay.errors import UsageError
from backstay.learn.decoding import Rollout
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.scalar_models import RewardMember, load_member
from backstay.learn.trained_policies import run_adapter
from backstay.pipeline.recipe import Recipe
from backstay.records import Prompt, Response


def load_base(recipe: Recipe, say: Callable[[str], None]) -> LanguageModel:
    """The base model, with what it cannot do said aloud."""
    model = load_model(recipe.model)
    notice = getattr(model.decoder, "notice", "")
    if notice:
        say(notice)
    return model


def load_policy(model: LanguageModel, run: Path) -> Adapter:
    """The frozen adapter of a run of sft, ppo or dpo."""
    return run_adapter(model, run)


def load_ensemble(model: LanguageModel, run: Path) -> list[RewardMember]:
    """The frozen reward members of a run of reward."""
    return _members(model, run / "model")


def load_costs(model: LanguageModel, run: Path) -> list[RewardMember]:
    """The frozen members of a run's cost (harm) model, whose zero lies between safe and harmful; none without one."""
    return _members(model, run / "model-cost")


def _members(model: LanguageModel, folder: Path) -> list[RewardMember]:
    folders = sorted(folder.glob("member-*"), key=lambda path: int(path.name.removeprefix("member-")))
    return [load_member(model.decoder, member, digest=model.digest) for member in folders]


def prompt_tokens(
    model: LanguageModel, prompts: Sequence[Prompt], say: Callable[[str], None]
) -> tuple[list[Prompt], list[list[int]]]:
    """Prompts that fit the length limit, with their tokens; how many do not is said aloud.

    Raises UsageError when none fits.
    """
    encoded = [(prompt, model.prompt_tokens(prompt)) for prompt in prompts]
    kept = [(prompt, tokens) for prompt, tokens in encoded if tokens is not None]
    if len(kept) < len(prompts):
        say(f"{len(prompts) - len(kept)} of {len(prompts)} prompts left out: over {model.max_prompt_tokens} tokens")
    if not kept:
        raise UsageError("no prompt fits model.max_prompt_tokens", cure="raise model.max_prompt_tokens")
    return [prompt for prompt, _ in kept], [tokens for _, tokens in kept]


def response_texts(model: LanguageModel, rollout: Rollout) -> list[str]:
    """Texts of sampled responses."""
    return [model.decode(tokens) for tokens in rollout.responses()]


def to_tokens(model: LanguageModel, responses: Sequence[Response], limit: int) -> tuple[list[list[int]], int]:
    """Tokens of written responses, cut to `limit`, and how many were cut."""
    whole = [model.response_tokens(r.text, finished=r.finished, limit=limit + 1) for r in responses]
    return [tokens[:limit] for tokens in whole], sum(len(tokens) > limit for tokens in whole)


def batch_generator(seed: int, batch: int) -> torch.Generator:
    """An own random stream for each batch, so that a batch can be redone alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + batch)


def names_of(adapters: Adapters) -> str:
    """Which policy a stack of adapters is."""
    return adapters[-1].name if adapters else "base"
