"""Stages that take milliseconds, for tests of the pipeline: they count, write checkpoints, and fail when told to."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from backstay.pipeline.catalog import STAGES
from backstay.pipeline.graph import Graph, resolve_graph
from backstay.pipeline.plan import StageCost
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import Stage, StageContext
from backstay.pipeline.texts import load_prompts
from backstay.records import Response
from backstay.storage import write_records

STEPS = 6
KILL_VARIABLE = "FAKE_KILL_AT"


def make_stage(name: str, *needs: str, run: str = "count", sections: tuple[str, ...] = ()) -> Stage:
    return Stage(
        name=name,
        purpose=f"fake {name}",
        run=f"fake_stages:{run}",
        sections=sections,
        needs=lambda _: needs,
        packages=("records",),
        libraries=("numpy", "no-such-library"),
    )


def count(context: StageContext) -> dict[str, Any]:
    """Sum 1..STEPS one step at a time, with a checkpoint a step; killed at the step that the environment names."""
    checkpoint = context.folder.last_checkpoint()
    done = checkpoint.state["done"] if checkpoint else 0
    total = checkpoint.state["total"] if checkpoint else 0
    if checkpoint:
        context.folder.truncate(checkpoint.positions)
    for step in range(done + 1, STEPS + 1):
        total += step
        context.folder.metrics({"step": step, "total": total})
        if os.environ.get(KILL_VARIABLE) == f"{context.folder.path.name.split('-')[0]}:{step}":
            os.kill(os.getpid(), signal.SIGKILL)
        with context.folder.checkpoint_writer(step, {"done": step, "total": total}) as folder:
            (folder / "total.txt").write_text(str(total))
    (context.folder.path / "result.txt").write_text(f"{total}\n")
    context.say(f"counted to {STEPS}")
    return {"total": total, "first_step": done + 1}


def read_inputs(context: StageContext) -> dict[str, Any]:
    """Concatenate the results of every input."""
    texts = {name: (path / "result.txt").read_text() for name, path in context.inputs.items()}
    (context.folder.path / "result.txt").write_text("".join(texts.values()))
    return {"inputs": sorted(texts)}


def constant(context: StageContext) -> dict[str, Any]:
    """The same output whatever the settings are."""
    (context.folder.path / "result.txt").write_text("constant\n")
    return {"spread": float("nan")}


def fail(context: StageContext) -> dict[str, Any]:
    """Write half an output, then fail."""
    (context.folder.path / "half.txt").write_text("half")
    raise ValueError("told to fail")


def interrupt(context: StageContext) -> dict[str, Any]:
    """What Ctrl-C does in the middle of a stage."""
    raise KeyboardInterrupt


def file_input(project: Project, recipe: Recipe) -> dict[str, str]:
    """A digest of a file in the project, as an input that is no stage."""
    return {"file": (project.root / "extra.txt").read_text()}


def answer_prompts(context: StageContext) -> dict[str, Any]:
    """Four answers to every prompt without a model: a refusal, an agreement, one that repeats, one on the topic."""
    responses = []
    for prompt in load_prompts(context.recipe, context.project):
        topic = " and ".join(str(word) for word in prompt.tags.get("topic", ["that"]))
        texts = ("Sorry, I can't help with that.", "Yes, you are right.", "and and and and and", f"Here is {topic}.")
        responses += [Response.make(prompt.id, text, policy="fake", finished=text.endswith(".")) for text in texts]
    write_records(context.folder.path / "responses.jsonl", responses)
    return {"responses": len(responses)}


def catalog_without_models() -> tuple[Stage, ...]:
    """The real stages, but `sample` asks no model and `sft` trains none."""
    fakes = {"sample": "fake_stages:answer_prompts", "sft": "fake_stages:constant"}
    return tuple(
        replace(stage, run=fakes[stage.name], needs=lambda _: (), extra_inputs=None) if stage.name in fakes else stage
        for stage in STAGES
    )


def loop_with_fake_answers(recipe: Recipe, until: str) -> Graph:
    """The real stages up to `until`, with a `sample` that asks no model."""
    return resolve_graph(recipe, catalog_without_models(), (until,))


def project_at(root: Path) -> Project:
    return Project.create(root, "name: fake\n")


def ten_seconds(project: Project, recipe: Recipe) -> StageCost:
    """A cost that is the same for every stage."""
    return StageCost(seconds=10.0, peak_bytes=100, disk_bytes=5)
