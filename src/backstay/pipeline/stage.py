"""A stage: what it is made of, what it needs, and what it is handed when it runs."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.records import Settings
from backstay.storage.run_folder import RunFolder

Summary = dict[str, Any]

LAYERS = (
    "report",
    "redteam",
    "evaluate",
    "learn",
    "screen",
    "aggregate",
    "scan",
    "feedback",
    "storage",
    "records",
)
"""Packages a stage may use, top layer first."""


def at_or_below(layer: str) -> tuple[str, ...]:
    """The packages whose source decides a stage of this layer."""
    return LAYERS[LAYERS.index(layer) :]


@dataclass(frozen=True)
class StageContext:
    """What a stage function gets: its settings, its inputs by stage name, and the folder it writes."""

    recipe: Recipe
    settings: Settings | None
    inputs: Mapping[str, Path]
    folder: RunFolder
    project: Project
    say: Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One node of the stage graph.

    `sections` are the parts of the recipe that decide the result; `needs` names the stages whose outputs it reads.
    `run`, `extra_inputs` and `cost` are `module:function`, imported only when they are called:
    `run(StageContext) -> summary`, `extra_inputs(Project, Recipe) -> {name: sha256}` for inputs that are no stage,
    `cost(Project, Recipe) -> plan.StageCost`. `packages` are hashed as source, `libraries` by version.
    """

    name: str
    purpose: str
    run: str
    sections: tuple[str, ...]
    needs: Callable[[Recipe], tuple[str, ...]]
    packages: tuple[str, ...]
    libraries: tuple[str, ...] = ("numpy",)
    extra_inputs: str | None = None
    cost: str | None = None

    def settings(self, recipe: Recipe) -> Settings | None:
        """The section of the same name, where there is one."""
        section = getattr(recipe, self.name, None)
        return section if isinstance(section, Settings) else None

    def call(self, context: StageContext) -> Summary:
        """Import the stage function and run it."""
        summary: Summary = load_function(self.run)(context)
        return summary


def load_function(target: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
