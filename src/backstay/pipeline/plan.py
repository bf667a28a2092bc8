"""What a run will cost, said before it starts."""

from dataclasses import dataclass
from typing import Literal

from backstay.pipeline.catalog import loop_graph
from backstay.pipeline.execute import preview
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import load_function


@dataclass(frozen=True)
class StageCost:
    """Wall seconds on this machine with nothing else running, peak resident bytes, bytes that stay on disk."""

    seconds: float
    peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class PlanRow:
    """One stage; `cost` is None where no estimate exists."""

    stage: str
    state: Literal["reuse", "resume", "run", "missing"]
    cost: StageCost | None


@dataclass(frozen=True)
class Plan:
    """The stages of a recipe with their costs; totals cover what would run and has an estimate."""

    rows: tuple[PlanRow, ...]

    @property
    def running(self) -> tuple[StageCost, ...]:
        """Costs of the stages that would run."""
        return tuple(row.cost for row in self.rows if row.state != "reuse" and row.cost)

    @property
    def seconds(self) -> float:
        """Sum over the stages that would run."""
        return sum(cost.seconds for cost in self.running)

    @property
    def peak_bytes(self) -> int:
        """Largest stage: stages run one after another in one process."""
        return max((cost.peak_bytes for cost in self.running), default=0)

    @property
    def disk_bytes(self) -> int:
        """Sum over the stages that would run."""
        return sum(cost.disk_bytes for cost in self.running)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Stages that would run and have no estimate."""
        return tuple(row.stage for row in self.rows if row.state != "reuse" and row.cost is None)


def plan(recipe: Recipe, project: Project) -> Plan:
    """Estimate every stage of a recipe, and tell which would be reused."""
    graph = loop_graph(recipe)
    states = {row.stage: row.state for row in preview(graph, project, graph.names)}
    rows = []
    for stage in graph.stages:
        cost: StageCost | None = load_function(stage.cost)(project, recipe) if stage.cost else None
        rows.append(PlanRow(stage.name, states[stage.name], cost))
    return Plan(tuple(rows))
