"""From a recipe to an ordered stage graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from backstay.errors import RecipeError, UsageError
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import Stage


@dataclass(frozen=True)
class Graph:
    """Stages in an order in which every need comes first, and the edges that this recipe gives."""

    recipe: Recipe
    stages: tuple[Stage, ...]
    needs: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Stage names in order."""
        return tuple(stage.name for stage in self.stages)

    def ancestors(self, name: str) -> frozenset[str]:
        """Every stage whose output reaches this one."""
        found: set[str] = set()
        waiting = list(self.needs[name])
        while waiting:
            need = waiting.pop()
            if need not in found:
                found.add(need)
                waiting.extend(self.needs[need])
        return frozenset(found)

    def select(self, *, only: str | None = None, start: str | None = None, until: str | None = None) -> frozenset[str]:
        """Names to run: one stage, what follows from `start`, what leads to `until`, or both bounds at once."""
        for name in (only, start, until):
            self._require(name)
        if only is not None:
            if start or until:
                raise UsageError("--only goes alone", cure="leave out --from and --until")
            return frozenset({only})
        chosen = set(self.names)
        if start is not None:
            chosen &= {name for name in self.names if name == start or start in self.ancestors(name)}
        if until is not None:
            chosen &= {until, *self.ancestors(until)}
        if not chosen:
            raise UsageError(
                f"nothing lies between --from {start} and --until {until}: {until} does not follow {start}"
            )
        return frozenset(chosen)

    def _require(self, name: str | None) -> None:
        if name is not None and name not in self.names:
            raise UsageError(f"no stage {name!r} in this recipe; its stages are {', '.join(self.names)}")


def resolve_graph(recipe: Recipe, catalog: Sequence[Stage], goals: Sequence[str] | None = None) -> Graph:
    """The stages that the goals need (all of the catalog without goals), ordered.

    Ties go to the order of the catalog, so equal recipes give equal orders. Raises RecipeError for a cycle.
    """
    by_name = {stage.name: stage for stage in catalog}
    needs: dict[str, tuple[str, ...]] = {}
    waiting = list(goals if goals is not None else by_name)
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = by_name[name].needs(recipe)
            waiting.extend(needs[name])
    return Graph(recipe, tuple(by_name[name] for name in _order(needs, tuple(by_name))), needs)


def _order(needs: Mapping[str, tuple[str, ...]], catalog_order: tuple[str, ...]) -> list[str]:
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        raise RecipeError(
            f"the stages wait for each other: {' <- '.join(error.args[1])}",
            cure="set sample.policy to base, or demonstrations to demo or a file",
        ) from None
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=catalog_order.index)
        order.append(ready.pop(0))
        sorter.done(order[-1])
    return order
