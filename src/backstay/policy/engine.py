"""A compiled policy: rules indexed by point, action and tool, and decisions by an algebra that no order can change."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from backstay.errors import UsageError
from backstay.policy.binding import Binder, keys_named
from backstay.policy.cel import (
    CelExprEngine,
    Condition,
    ConditionEngine,
    ConditionError,
    ConditionRefused,
    VariableType,
)
from backstay.policy.index import Bucket, RuleIndex
from backstay.policy.obligations import Merged, Redact, merge_obligations
from backstay.policy.points import POINTS, TOOL_POINT, Point, is_plain_name
from backstay.policy.request import Decision, Request, RuleError, ShadowResult
from backstay.policy.rules import Counter, Outcome, PolicyFile, Rule, read_policy
from backstay.records import content_hash

EngineFactory = Callable[[Mapping[str, VariableType]], ConditionEngine]
MAX_REMEMBERED = 4096
Key = TypeVar("Key")
Value = TypeVar("Value")


class CompiledRule(NamedTuple):
    """A rule and its condition; None stands for always."""

    rule: Rule
    condition: Condition | None


class _Judged(NamedTuple):
    applied: list[Rule]
    errors: list[RuleError]
    erred: list[Rule]


class PolicyBundle:
    """Rules, defaults and counters of one or several files, immutable, known by the hash of what they decide."""

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        defaults: Mapping[Point, Outcome],
        counters: Mapping[str, Counter],
        engine: ConditionEngine,
    ) -> None:
        self.rules = tuple(sorted(rules, key=lambda compiled: compiled.rule.id))
        self.defaults: dict[str, Outcome] = {str(point): effect for point, effect in defaults.items()}
        self.counters = dict(counters)
        self.hash = content_hash(self._content())
        self._index = RuleIndex(self.rules)
        self._binder = Binder(engine, [compiled.rule.when or "" for compiled in self.rules], self.counters)
        self._merged: dict[tuple[str, ...], Merged] = {}

    def _content(self) -> dict[str, Any]:
        rules = [compiled.rule.model_dump(mode="json", exclude={"tests"}) for compiled in self.rules]
        counters = {name: counter.model_dump(mode="json") for name, counter in self.counters.items()}
        return {"default": self.defaults, "counters": counters, "rules": rules}

    @classmethod
    def compile(cls, files: Iterable[tuple[str, PolicyFile]], engine: EngineFactory = CelExprEngine) -> Self:
        """Compile checked files, each with the name it has in messages; raises UsageError."""
        given = list(files)
        defaults = _united((source, file.default, "default for") for source, file in given)
        counters = _united((source, file.counters, "counter") for source, file in given)
        kinds: dict[str, VariableType] = {name: "double" if c.sum else "int" for name, c in counters.items()}
        conditions = engine(kinds)
        rules = {rule.id: (source, rule) for source, file in given for rule in file.rules}
        _refuse_twice(given)
        compiled = [_compiled(rule, source, conditions) for source, rule in rules.values()]
        return cls(compiled, {point: _DEFAULTS[point] for point in POINTS} | defaults, counters, conditions)

    def decide(self, request: Request) -> Decision:
        """Decide on one request: forbid over hold over permit over the default; a condition that errs never permits."""
        if refusal := refused_name(request):
            return Decision("deny", (), (), (refusal,), (), self.hash)
        bucket = self.fitting(request)
        bound = self.bind(request) if bucket.conditional else None
        decision = self._decide(request.point, bucket.forbids, bucket.holds, bucket.permits, bound)
        if bucket.shadows:
            return self._with_shadow(decision, bucket.shadows, bound)
        return decision

    def kinds_named(self) -> dict[str, str]:
        """Kinds of findings that conditions and redactions name, each with a rule that does."""
        named: dict[str, str] = {}
        for rule, _ in self.rules:
            redacted = {kind for o in rule.obligations if isinstance(o, Redact) for kind in o.kinds} - {"*"}
            for kind in (*keys_named([rule.when or ""], "findings"), *sorted(redacted)):
                named.setdefault(kind, rule.id)
        return named

    def rules_at(self, point: str, action: str = "", tool: str = "") -> tuple[Rule, ...]:
        """The rules in force that can apply there, forbids first."""
        bucket = self._index.find(point, action, tool)
        return tuple(compiled.rule for compiled in (*bucket.forbids, *bucket.holds, *bucket.permits))

    def fitting(self, request: Request) -> Bucket:
        """The rules whose point, action and tool fit."""
        return self._index.find(request.point, request.action, request.tool)

    def bind(self, request: Request) -> Any:
        """What conditions are called with, or the ConditionError that each of them meets."""
        return self._binder.bind(request)

    @property
    def reads_numbers(self) -> bool:
        """Whether a condition uses double(), so that text reading as NaN makes every condition err."""
        return self._binder.reads_numbers

    def _decide(
        self,
        point: str,
        forbids: Sequence[CompiledRule],
        holds: Sequence[CompiledRule],
        permits: Sequence[CompiledRule],
        bound: Any,
    ) -> Decision:
        judged = _judge(forbids, bound)
        if deciding := judged.applied + judged.erred:
            return self._answer("deny", deciding, [], judged.errors)
        held, permitted = _judge(holds, bound), _judge(permits, bound)
        errors = held.errors + permitted.errors
        if deciding := held.applied + held.erred:
            return self._answer("hold", deciding, permitted.applied + permitted.erred, errors)
        if permitted.applied:
            return self._answer("allow", permitted.applied, permitted.erred, errors)
        if self.defaults.get(point, "deny") == "allow":
            return self._answer("allow", [], permitted.erred, errors)
        return Decision("deny", (), (), (f"no rule permits this at {point}",), tuple(errors), self.hash)

    def _answer(self, effect: Outcome, deciding: list[Rule], beside: list[Rule], errors: list[RuleError]) -> Decision:
        """Obligations of the rules `beside` hold too: a permit that erred permits nothing, but its duties hold."""
        merged = self._merge(deciding, beside)
        ids = tuple(sorted(rule.id for rule in deciding))
        reasons = tuple(rule.reason for rule in sorted(deciding, key=lambda rule: rule.id))
        if merged.conflict and effect != "deny":
            return Decision("deny", ids, (), (merged.conflict,), tuple(errors), self.hash)
        return Decision(effect, ids, merged.obligations, reasons, tuple(errors), self.hash)

    def _merge(self, deciding: list[Rule], beside: list[Rule]) -> Merged:
        rules = [rule for rule in (*deciding, *beside) if rule.obligations]
        if not rules:
            return _NOTHING
        key = tuple(sorted(rule.id for rule in rules))
        merged = self._merged.get(key)
        if merged is None:
            if len(self._merged) >= MAX_REMEMBERED:
                self._merged.clear()
            merged = merge_obligations(obligation for rule in rules for obligation in rule.obligations)
            self._merged[key] = merged
        return merged

    def _with_shadow(self, decision: Decision, shadows: Sequence[CompiledRule], bound: Any) -> Decision:
        judged = _judge(shadows, bound)
        applied = {rule.id for rule in judged.applied}
        messages = dict(judged.errors)
        results = tuple(
            ShadowResult(c.rule.id, c.rule.effect, c.rule.id in applied, messages.get(c.rule.id, "")) for c in shadows
        )
        return decision._replace(shadow=results, shadow_effect=enforced(decision.effect, decision.rules, results))


_NOTHING = Merged(obligations=())
_DEFAULTS: dict[Point, Outcome] = {point: "deny" if point == TOOL_POINT else "allow" for point in POINTS}


def _judge(rules: Sequence[CompiledRule], bound: Any) -> _Judged:
    applied: list[Rule] = []
    errors: list[RuleError] = []
    erred: list[Rule] = []
    for rule, condition in rules:
        try:
            if condition is None or condition(_usable(bound)):
                applied.append(rule)
        except ConditionError as error:
            errors.append(RuleError(rule.id, str(error)))
            erred.append(rule)
    return _Judged(applied, errors, erred)


def _usable(bound: Any) -> Any:
    if isinstance(bound, ConditionError):
        raise bound
    return bound


def enforced(effect: Outcome, rules: Sequence[str], results: Sequence[ShadowResult]) -> Outcome:
    """What `effect`, decided by `rules`, were if these counted; a permit changes nothing but a denial by default."""
    if effect == "deny" and (rules or not any(_acts(r) for r in results)):
        return "deny"
    acting = {result.effect for result in results if _acts(result)}
    if "forbid" in acting:
        return "deny"
    if "hold" in acting or effect == "hold":
        return "hold"
    return "allow"


def _acts(result: ShadowResult) -> bool:
    return result.applied or (bool(result.error) and result.effect != "permit")


def refused_name(request: Request) -> str | None:
    """Why the request's names are denied, None when they are plain, so that none looks like another."""
    if (request.tool or request.point == TOOL_POINT) and not is_plain_name(request.tool):
        return "the tool's name is not plain ASCII (letters, digits, _ . : / @ + -)"
    if request.action and not is_plain_name(request.action):
        return "the action's name is not plain ASCII (letters, digits, _ . : / @ + -)"
    return None


def _compiled(rule: Rule, source: str, engine: ConditionEngine) -> CompiledRule:
    try:
        return CompiledRule(rule, None if rule.when is None else engine.compile(rule.when))
    except ConditionRefused as error:
        raise UsageError(
            f"{source}: rule {rule.id}, when: {error}",
            cure="correct the condition; docs/policy/rules.md lists the variables",
        ) from error


def _refuse_twice(files: Sequence[tuple[str, PolicyFile]]) -> None:
    first: dict[str, str] = {}
    for source, file in files:
        for rule in file.rules:
            if rule.id in first:
                also = "" if first[rule.id] == source else f", and in {first[rule.id]}"
                raise UsageError(f"{source}: rule {rule.id} stands there twice{also}", cure="give one another id")
            first[rule.id] = source


def _united(parts: Iterable[tuple[str, Mapping[Key, Value], str]]) -> dict[Key, Value]:
    united: dict[Key, Value] = {}
    for source, part, what in parts:
        for key, value in part.items():
            if united.setdefault(key, value) != value:
                raise UsageError(f"{source}: {what} {key} is set otherwise in another file", cure="set it in one file")
    return united


def load_policies(paths: Iterable[Path], engine: EngineFactory = CelExprEngine) -> PolicyBundle:
    """Read, check and compile policy files as one policy; raises UsageError."""
    return PolicyBundle.compile([(str(path), read_policy(path)) for path in paths], engine)
