"""The runs of a project: which there are, which is the latest, and what an argument RUN means."""

import json
from dataclasses import dataclass
from pathlib import Path

from backstay.errors import UsageError
from backstay.pipeline.manifest import MANIFEST, Manifest, read_manifest
from backstay.pipeline.project import Project
from backstay.storage.atomic import write_atomic

KEY_DIGITS = 12
POINTER = "latest.json"


@dataclass(frozen=True)
class Run:
    """One run folder; `manifest` is None while it is unfinished."""

    path: Path
    stage: str
    manifest: Manifest | None

    @property
    def name(self) -> str:
        """The folder's name, `<stage>-<first 12 hex digits of the key>`."""
        return self.path.name

    @property
    def finished(self) -> str:
        """When it finished (ISO 8601, UTC), or an empty text."""
        return "" if self.manifest is None else str(self.manifest.predicate.get("finished", ""))


def run_folder_name(stage: str, key: str) -> str:
    """Where a stage with this key lives."""
    return f"{stage}-{key[:KEY_DIGITS]}"


def open_run(path: Path) -> Run:
    """A run folder as a record; raises IntegrityError when its manifest does not parse."""
    return Run(path, path.name.rpartition("-")[0], read_manifest(path))


def list_runs(project: Project) -> list[Run]:
    """Every run, finished ones by time, unfinished ones last."""
    if not project.runs.is_dir():
        return []
    folders = [path for path in project.runs.iterdir() if path.is_dir() and _is_run_name(path.name)]
    return sorted((open_run(path) for path in folders), key=lambda run: (not run.finished, run.finished, run.name))


def _is_run_name(name: str) -> bool:
    stage, _, digits = name.rpartition("-")
    return bool(stage) and not name.startswith(".") and len(digits) == KEY_DIGITS


def latest_pointers(project: Project) -> dict[str, str]:
    """Stage to run folder name of what was executed last."""
    path = project.state / POINTER
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}  # A pointer is a convenience: list_runs finds the runs without it.
    return {str(stage): str(name) for stage, name in read.items()} if isinstance(read, dict) else {}


def point_to(project: Project, stage: str, folder: Path) -> None:
    """Make a run the latest of its stage."""
    pointers = latest_pointers(project) | {stage: folder.name}
    write_atomic(project.state / POINTER, json.dumps(pointers, indent=1, sort_keys=True).encode() + b"\n")


def latest_run(project: Project, stage: str) -> Run:
    """The finished run of a stage that was executed or reused last; raises UsageError when there is none."""
    pointed = project.runs / latest_pointers(project).get(stage, ".none")
    if (pointed / MANIFEST).exists():
        return open_run(pointed)
    finished = [run for run in list_runs(project) if run.stage == stage and run.finished]
    if not finished:
        raise UsageError(f"no finished run of {stage} in {project.runs}", cure=f"backstay run --until {stage}")
    return finished[-1]


def resolve_run(project: Project, text: str) -> Run:
    """What RUN means: a folder, a run's name or an unambiguous beginning of it, or a stage (its latest run)."""
    for path in (Path(text), project.runs / text):
        if path.is_dir() and _is_run_name(path.resolve().name):
            return open_run(path.resolve())
    runs = list_runs(project)
    if any(run.stage == text for run in runs):
        return latest_run(project, text)
    matching = [run for run in runs if run.name.startswith(text)]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(run.name for run in matching or runs) or "none"
    problem = f"{text!r} could be any of {names}" if matching else f"no run {text!r}; there are: {names}"
    raise UsageError(problem, cure="name a folder, the beginning of a run's name, or a stage")
