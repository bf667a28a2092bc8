"""Which files a run's model is made of, and a signature on them: releasing a finished run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from backstay.errors import GateRefused, IntegrityError, UsageError
from backstay.learn.models.load import model_folder
from backstay.pipeline.manifest import MANIFEST, broken_outputs
from backstay.pipeline.runs import Run, open_run
from backstay.records import file_sha256
from backstay.storage.atomic import write_atomic
from backstay.storage.keys import fingerprint
from backstay.storage.release import RELEASE, Gate, ModelFolders, Release, sign_release, written_moment

STAGES = ("sft", "ppo", "dpo")


def release_run(run: Run, key: Ed25519PrivateKey, *, valid_days: float, now: datetime | None = None) -> Release:
    """Sign what a finished run's model is made of and write release.json into its folder.

    Raises UsageError for a run without a policy, IntegrityError when the run, or one that its policy builds on, is not
    what its manifest says, and GateRefused when a gate in a manifest said no.
    """
    runs = model_runs(run)
    gates: dict[str, Gate] = {}
    for one in runs:
        _check_run(one)
        gates |= {f"{one.stage}/{name}": gate for name, gate in passed_gates(one).items()}
    folders = ModelFolders(run.path.parent, base_folder(run))
    files = {name: file_sha256(folders.place(name)) for name in folders.files(one.name for one in runs)}
    now = now or datetime.now(UTC)
    release = Release(
        run=run.name,
        manifest=file_sha256(run.path / MANIFEST),
        gates=gates,
        created_at=written_moment(now),
        expires_at=written_moment(now + timedelta(days=valid_days)),
        key=fingerprint(key.public_key()),
    )
    write_atomic(run.path / RELEASE, sign_release(release, files, key))
    return release


def model_runs(run: Run) -> list[Run]:
    """The runs whose adapters make the policy: the run itself, and the sft run that ppo and dpo build on."""
    if run.manifest is None or run.stage not in STAGES:
        state = "unfinished" if run.manifest is None else f"a run of {run.stage}"
        raise UsageError(
            f"{run.name} is {state}; a finished one of {', '.join(STAGES)} is needed", cure="backstay runs"
        )
    if run.stage == "sft":
        return [run]
    named: dict[str, Any] = run.manifest.predicate["inputs"]["sft"]
    below = open_run(run.path.parent / str(named["run"]))
    if below.manifest is None:
        raise UsageError(f"{run.name} builds on {below.name}, which is gone", cure="backstay run")
    if below.manifest.digest != named["sha256"]:
        raise IntegrityError(f"{run.name} was trained on another {below.name} than is there now", cure="backstay run")
    return [run, below]


def base_folder(run: Run) -> Path:
    """Where the base of a finished run's model is here; it is made or fetched if need be. Raises UsageError."""
    settings: dict[str, Any] = run.manifest.predicate["settings"] if run.manifest else {}
    if "model" not in settings:
        raise UsageError(f"{run.name} has no model: it is unfinished, or a run of another kind", cure="backstay runs")
    return model_folder(str(settings["model"]["source"]))


def passed_gates(run: Run) -> dict[str, Gate]:
    """The gates in a run's manifest, `{"gates": {NAME: {"passed": true, "value": ...}}}`, if there are any.

    Raises GateRefused when one said no, and when it cannot be read whether it did.
    """
    found = run.manifest.predicate.get("gates", {}) if run.manifest else {}
    if not isinstance(found, dict):
        raise GateRefused(f"the gates of {run.name} cannot be read", cure="run the stage again")
    gates = {}
    for name, told in found.items():
        value = told.get("value") if isinstance(told, dict) else None
        if not isinstance(told, dict) or told.get("passed") is not True:
            raise GateRefused(
                f"the gate {name} of {run.name} said no (value {str(value)[:40]})",
                cure="train a model that passes, and release that",
            )
        try:
            gates[str(name)] = Gate(passed=True, value=value)
        except ValidationError:
            raise GateRefused(f"the value of the gate {name} of {run.name} is neither number nor text") from None
    return gates


def _check_run(run: Run) -> None:
    problems = broken_outputs(run.path, run.manifest) if run.manifest else ["it is unfinished"]
    if problems:
        raise IntegrityError(
            f"{run.name} is not what its manifest says: {'; '.join(problems[:5])}", cure="backstay verify"
        )
