"""The policies of a finished run of sft, ppo or dpo, before and after its training, on the base of that training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from backstay.errors import IntegrityError, UsageError
from backstay.learn.models.adapters import Adapter, load_adapter, own_notes
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.preference_settings import DpoSettings
from backstay.learn.settings import ModelSettings, SampleSettings, SftSettings

OVER_SFT: dict[str, type[PpoSettings | DpoSettings]] = {"ppo": PpoSettings, "dpo": DpoSettings}
"""The stages that train a policy on top of the sft policy, with their settings."""


class FinishedRun(Protocol):
    """What is asked of a run: where it lies, whose it is, and its manifest."""

    @property
    def path(self) -> Path:
        """The run's folder, beside those of the runs that it read."""

    @property
    def stage(self) -> str:
        """`sft`, `ppo` or `dpo`."""

    @property
    def manifest(self) -> Any:
        """A manifest with `predicate`, or None while the run is unfinished."""


@dataclass(frozen=True)
class TrainedPolicies:
    """A policy before and after training; `max_new_tokens` and `temperature` are those of its training, or defaults."""

    model: LanguageModel
    before: tuple[Adapter, ...]
    after: tuple[Adapter, ...]
    before_name: str
    after_name: str
    max_new_tokens: int
    temperature: float


def load_trained(run: FinishedRun) -> TrainedPolicies:
    """Load base and adapters of a run.

    For ppo and dpo, before is the reference (the sft policy) and after the trained policy; for sft, before is the base.
    Raises UsageError for a run of another stage, an unfinished one, or one whose sft run is gone, and IntegrityError
    when the base model is not the one of the training.
    """
    if run.manifest is None or run.stage not in {"sft", *OVER_SFT}:
        state = "unfinished" if run.manifest is None else f"a run of {run.stage}"
        raise UsageError(
            f"{run.path.name} is {state}; a finished run of ppo, dpo or sft is needed", cure="backstay runs"
        )
    predicate: dict[str, Any] = run.manifest.predicate
    settings = predicate["settings"]
    model = load_model(_model_settings(settings["model"], run.path.name))
    own = run_adapter(model, run.path)
    if run.stage == "sft":
        limit, temperature = SftSettings().max_response_tokens, SampleSettings().temperature
        return TrainedPolicies(model, (), (own,), "base", "sft", limit, temperature)
    reference = run_adapter(model, run.path.parent / str(predicate["inputs"]["sft"]["run"]))
    trained = OVER_SFT[run.stage].model_construct(**settings[run.stage])
    limit, temperature = int(trained.max_new_tokens), float(trained.temperature)
    return TrainedPolicies(model, (reference,), (reference, own), "sft", run.stage, limit, temperature)


def _model_settings(data: dict[str, Any], name: str) -> ModelSettings:
    try:
        return ModelSettings.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"{name} has model settings that this version does not know: {'.'.join(map(str, first['loc']))}",
            cure="run the stage again with this version, or use the version that made it",
        ) from error


def run_adapter(model: LanguageModel, run: Path) -> Adapter:
    """The frozen policy adapter in a run's folder.

    Raises UsageError when there is none and IntegrityError for one of another base.
    """
    folder = run / "model"
    if not folder.is_dir():
        raise UsageError(f"{run} holds no model/", cure="run the loop again; finished stages are reused")
    trained_on = own_notes(folder).get("base_digest")
    if trained_on not in {None, model.digest}:
        raise IntegrityError(
            f"{run.name} was trained on another base than {model.name!r} is now",
            cure="restore that model, or run again",
        )
    return load_adapter(folder, base=model.decoder).to(model.device).requires_grad_(False)
