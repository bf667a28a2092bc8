"""Which rules can apply to a point, an action and a tool, found without looking at the others."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from backstay.policy.points import glob_matches, has_wildcard

if TYPE_CHECKING:
    from backstay.policy.engine import CompiledRule

MAX_REMEMBERED = 4096


class Bucket(NamedTuple):
    """The rules for one point, action and tool, each in order of ids."""

    forbids: tuple["CompiledRule", ...]
    holds: tuple["CompiledRule", ...]
    permits: tuple["CompiledRule", ...]
    shadows: tuple["CompiledRule", ...]
    conditional: bool


class RuleIndex:
    """Rules by point and tool name, those with patterns beside them; answers are remembered, in bounded memory."""

    def __init__(self, rules: Sequence["CompiledRule"]) -> None:
        self._named: dict[tuple[str, str], list[CompiledRule]] = defaultdict(list)
        self._open: dict[str, list[CompiledRule]] = defaultdict(list)
        self._buckets: dict[tuple[str, str, str], Bucket] = {}
        for compiled in rules:
            for point in dict.fromkeys(compiled.rule.match.point):
                self._enter(compiled, point)

    def _enter(self, compiled: "CompiledRule", point: str) -> None:
        tools = compiled.rule.match.tool
        if any(has_wildcard(tool) for tool in tools):
            self._open[point].append(compiled)
            return
        for tool in dict.fromkeys(tools):
            self._named[point, tool].append(compiled)

    def find(self, point: str, action: str, tool: str) -> Bucket:
        """The rules that can apply."""
        key = (point, action, tool)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MAX_REMEMBERED:
                self._buckets.clear()
            bucket = self._buckets[key] = self._bucket(point, action, tool)
        return bucket

    def _bucket(self, point: str, action: str, tool: str) -> Bucket:
        named = self._named.get((point, tool), [])
        opened = [c for c in self._open.get(point, []) if any(glob_matches(g, tool) for g in c.rule.match.tool)]
        fitting = [c for c in (*named, *opened) if any(glob_matches(g, action) for g in c.rule.match.action)]
        fitting.sort(key=lambda compiled: compiled.rule.id)
        enforced = [c for c in fitting if c.rule.mode == "enforce"]
        forbids, holds, permits = (
            tuple(c for c in enforced if c.rule.effect == effect) for effect in ("forbid", "hold", "permit")
        )
        shadows = tuple(c for c in fitting if c.rule.mode == "shadow")
        return Bucket(forbids, holds, permits, shadows, any(c.condition is not None for c in fitting))
