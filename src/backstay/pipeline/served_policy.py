"""The policy of a run, ready to be served; of a signed release only, where that is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backstay.errors import IntegrityError, UsageError
from backstay.learn.serving.generation import Policy
from backstay.learn.trained_policies import TrainedPolicies, load_trained
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.release import base_folder, model_runs
from backstay.pipeline.runs import Run, open_run, resolve_run
from backstay.pipeline.stages.base_model import load_base
from backstay.storage.keys import public_keys
from backstay.storage.release import (
    SIGN_AGAIN,
    ModelFolders,
    SignedRelease,
    check_files,
    check_revoked,
    file_marks,
    open_release,
    read_revoked,
)

BASE = "base"
BASE_TOKENS, BASE_TEMPERATURE = 64, 1.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Trust:
    """Whose releases are served: a folder of public keys, and a list of what is revoked (None: there is none)."""

    keys: Path
    revoked: Path | None = None


@dataclass(frozen=True)
class ServedPolicy:
    """A policy with the names that it is served under, and what is told of it."""

    policy: Policy
    names: tuple[str, ...]
    about: dict[str, Any]


def load_served_policy(
    project: Project,
    text: str,
    recipe: Callable[[], Recipe],
    say: Say,
    *,
    trust: Trust | None = None,
    max_prompt_tokens: int | None = None,
    max_tokens: int | None = None,
) -> ServedPolicy:
    """Load the policy of a finished run of sft, ppo or dpo, or the recipe's base model where `text` is `base`.

    With `trust` the run must be a signed release, whose files are hashed before they are loaded and must not have
    been touched meanwhile; raises IntegrityError where anything does not hold, and for the base, which is no release.
    """
    if text == BASE:
        if trust is not None:
            raise IntegrityError("the base model is no signed release", cure="serve a released run")
        model = load_base(recipe(), say)
        policy = _policy(model, (), BASE_TOKENS, BASE_TEMPERATURE, max_prompt_tokens, max_tokens)
        return ServedPolicy(policy, (BASE,), {"run": BASE, "release": None})
    run = resolve_run(project, text)
    folders = ModelFolders(run.path.parent, base_folder(run))
    release = None
    if trust is None:
        trained = load_trained(run)
    else:
        release, trained = _load_released(run, folders, trust)
    policy = _policy(
        trained.model, trained.after, trained.max_new_tokens, trained.temperature, max_prompt_tokens, max_tokens
    )
    if trained.model.decoder.notice:
        say(trained.model.decoder.notice)
    where = {"runs": str(folders.runs.resolve()), "base": str(folders.base.resolve())}
    about = {"run": run.name, "release": release.digest if release else None, **where}
    return ServedPolicy(policy, (run.stage, run.name), about)


def _load_released(run: Run, folders: ModelFolders, trust: Trust) -> tuple[SignedRelease, TrainedPolicies]:
    """Load a signed release, if nobody writes to its files while they are hashed and loaded."""
    release = open_release(run.path, public_keys(trust.keys))
    if trust.revoked is not None:
        check_revoked(release, read_revoked(trust.revoked))
    uncovered = {one.name for one in model_runs(run)} - release.runs
    if uncovered:
        raise IntegrityError(f"the release of {run.name} does not cover {', '.join(uncovered)}", cure=SIGN_AGAIN)
    marks = file_marks(release, folders)
    check_files(release, folders)
    if open_run(run.path) != run:
        raise IntegrityError(f"the manifest of {run.name} was exchanged", cure="start it again")
    trained = load_trained(run)
    if file_marks(release, folders) != marks:
        raise IntegrityError(f"files of {run.name} were written while they were loaded", cure="start it again")
    return release, trained


def _policy(
    model: Any,
    adapters: tuple[Any, ...],
    default_tokens: int,
    temperature: float,
    max_prompt_tokens: int | None,
    max_tokens: int | None,
) -> Policy:
    room = int(model.decoder.architecture.max_positions)
    answer = room // 2 if max_tokens is None else max_tokens
    prompt = room - answer if max_prompt_tokens is None else max_prompt_tokens
    if prompt < 1 or answer < 1 or prompt + answer > room:
        raise UsageError(
            f"prompts of {prompt} tokens and answers of {answer} do not fit the model's {room} positions",
            cure="lower --max-prompt-tokens or --max-tokens",
        )
    return Policy(model, adapters, default_tokens, temperature, prompt, answer)
