"""Runs a stage graph: reuses what is done and verifies, resumes what was interrupted, records what it made."""

import functools
import resource
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from backstay.errors import UsageError
from backstay.pipeline.digests import code_digest, library_versions, machine
from backstay.pipeline.events import Event, Observer
from backstay.pipeline.graph import Graph
from backstay.pipeline.manifest import Manifest, broken_outputs, finite, read_manifest, write_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.run_lock import run_lock
from backstay.pipeline.runs import open_run, point_to, run_folder_name
from backstay.pipeline.stage import Stage, StageContext, load_function
from backstay.pipeline.tracking import check_tracking, start_tracking
from backstay.pipeline.workspace import open_workspace, set_aside
from backstay.records import content_hash

State = Literal["reused", "finished"]


@dataclass(frozen=True)
class StageRun:
    """How one stage of an execution went."""

    stage: str
    folder: Path
    state: State
    seconds: float
    summary: dict[str, Any]


@dataclass(frozen=True)
class Preview:
    """What an execution would do with a stage; `run` is None while the outputs of an earlier stage are not known."""

    stage: str
    state: Literal["reuse", "resume", "run", "missing"]
    run: str | None


def execute(
    graph: Graph, project: Project, selected: Collection[str], observe: Observer, *, resume: bool = True
) -> list[StageRun]:
    """Run the selected stages in order; stages they need are reused, and it is an error when they cannot be.

    Raises what a stage raises; whatever is finished by then stays finished, and a stage that writes checkpoints goes
    on from the last one when the same graph is executed again, unless `resume` is false.
    """
    check_tracking(graph.recipe, project)
    wanted = _with_ancestors(graph, selected)
    observe(Event("planned", data={"stages": [name for name in graph.names if name in wanted]}))
    done: dict[str, StageRun] = {}
    for stage in graph.stages:
        if stage.name not in wanted:
            continue
        job = _job(stage, graph, project, {need: done[need].folder for need in graph.needs[stage.name]})
        done[stage.name] = _run_or_reuse(job, stage.name in selected, observe, resume)
        point_to(project, stage.name, done[stage.name].folder)
    return list(done.values())


def preview(graph: Graph, project: Project, selected: Collection[str]) -> list[Preview]:
    """What `execute` would do, found without running or writing anything."""
    wanted = _with_ancestors(graph, selected)
    known: dict[str, Path] = {}
    rows = []
    for stage in graph.stages:
        if stage.name in wanted:
            row = _preview_stage(stage, graph, project, known, stage.name in selected)
            rows.append(row)
            if row.state == "reuse" and row.run:
                known[stage.name] = project.runs / row.run
    return rows


@dataclass(frozen=True)
class _Job:
    """One stage with its inputs known; `ingredients` is everything that the key is the hash of."""

    stage: Stage
    recipe: Recipe
    project: Project
    inputs: Mapping[str, Path]
    ingredients: dict[str, Any]
    key: str

    @property
    def folder(self) -> Path:
        return self.project.runs / run_folder_name(self.stage.name, self.key)


def _job(stage: Stage, graph: Graph, project: Project, inputs: Mapping[str, Path]) -> _Job:
    extra = load_function(stage.extra_inputs)(project, graph.recipe) if stage.extra_inputs else {}
    ingredients = {
        "stage": stage.name,
        "settings": graph.recipe.part(stage.sections),
        "inputs": {need: _input_digest(folder) for need, folder in inputs.items()},
        "extra_inputs": extra,
        "code": code_digest(stage.packages, stage.run),
        "libraries": library_versions(stage.libraries),
    }
    return _Job(stage, graph.recipe, project, inputs, ingredients, content_hash(ingredients))


def _with_ancestors(graph: Graph, selected: Collection[str]) -> set[str]:
    return set(selected).union(*(graph.ancestors(name) for name in selected))


def _input_digest(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"{folder} is unfinished and cannot be an input")
    return manifest.digest


def _preview_stage(stage: Stage, graph: Graph, project: Project, known: Mapping[str, Path], chosen: bool) -> Preview:
    needs = graph.needs[stage.name]
    otherwise: Literal["run", "missing"] = "run" if chosen else "missing"
    if not all(need in known for need in needs):
        return Preview(stage.name, otherwise, None)
    folder = _job(stage, graph, project, {need: known[need] for need in needs}).folder
    manifest = read_manifest(folder)
    if manifest is not None and not broken_outputs(folder, manifest):
        return Preview(stage.name, "reuse", folder.name)
    started = folder.is_dir() and manifest is None
    return Preview(stage.name, "resume" if started and chosen else otherwise, folder.name)


def _run_or_reuse(job: _Job, chosen: bool, observe: Observer, resume: bool) -> StageRun:
    found = _reusable(job, observe)
    if found is None and not chosen:
        raise UsageError(
            f"{job.stage.name} has not run with these settings, inputs and code, and it is not among the stages to run",
            cure=f"backstay run --until {job.stage.name}",
        )
    if found is None:
        with run_lock(job.folder, job.stage.name):
            found = _reusable(job, observe)  # Another process may have finished it since.
            if found is None:
                return _run(job, observe, resume)
    summary = found.predicate.get("summary", {})
    observe(Event("reused", job.stage.name, job.folder.name, data=summary))
    return StageRun(job.stage.name, job.folder, "reused", 0.0, summary)


def _reusable(job: _Job, observe: Observer) -> Manifest | None:
    manifest = read_manifest(job.folder)
    if manifest is None:
        return None
    broken = broken_outputs(job.folder, manifest)
    if not broken:
        return manifest
    text = f"{'; '.join(broken)}; moved to {set_aside(job.folder).name}, running again"
    observe(Event("said", job.stage.name, job.folder.name, text))
    return None


def _run(job: _Job, observe: Observer, resume: bool) -> StageRun:
    name, run = job.stage.name, job.folder.name
    config = yaml.safe_dump(job.ingredients["settings"], sort_keys=False, allow_unicode=True)
    workspace = open_workspace(job.folder, config, resume=resume)
    workspace.run_folder.observers.append(lambda row: observe(Event("metrics", name, run, data=row)))
    observe(Event("resumed" if workspace.resumed else "started", name, run, job.stage.purpose))
    say = functools.partial(_say, observe, name, run)
    tracked = start_tracking(job.recipe, job.project, run, job.ingredients["settings"], say)
    if tracked is not None:
        workspace.run_folder.observers.append(tracked.log)
    context = StageContext(
        recipe=job.recipe,
        settings=job.stage.settings(job.recipe),
        inputs=job.inputs,
        folder=workspace.run_folder,
        project=job.project,
        say=say,
    )
    started, clock = _now(), time.monotonic()
    try:
        summary = finite(job.stage.call(context))
    except BaseException as error:
        if tracked is not None:
            tracked.finish("failed")
        observe(Event("failed", name, run, f"{type(error).__name__}: {error}"))
        raise
    if tracked is not None:
        tracked.finish("finished")
    seconds = round(time.monotonic() - clock, 3)
    times: dict[str, Any] = {"started": started, "finished": _now(), "seconds": seconds, "resumed": workspace.resumed}
    times["peak_bytes"] = _peak_bytes()
    write_manifest(job.folder, _predicate(job, summary) | times)
    workspace.run_folder.clear_checkpoints()
    observe(Event("finished", name, run, seconds=seconds, data=summary))
    return StageRun(name, job.folder, "finished", seconds, summary)


def _say(observe: Observer, stage: str, run: str, text: str) -> None:
    observe(Event("said", stage, run, text))


def _predicate(job: _Job, summary: dict[str, Any]) -> dict[str, Any]:
    sections = job.ingredients["settings"]
    digests = job.ingredients["inputs"]
    return {
        **job.ingredients,
        "key": job.key,
        "inputs": {need: {"run": folder.name, "sha256": digests[need]} for need, folder in job.inputs.items()},
        "seeds": {name: part["seed"] for name, part in sections.items() if isinstance(part, dict) and "seed" in part},
        "machine": machine(),
        "parents": sorted({run for folder in job.inputs.values() for run in _lineage(folder)}),
        "summary": summary,
    }


def _lineage(folder: Path) -> list[str]:
    manifest = open_run(folder).manifest
    return [folder.name, *(manifest.predicate.get("parents", []) if manifest else [])]


def _peak_bytes() -> int:
    """Highest resident memory of this process so far, earlier stages included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
