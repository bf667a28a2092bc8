"""Policy files: rules, defaults and counters as they are written, checked before anything is compiled."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from backstay.errors import UsageError
from backstay.policy.obligations import KINDS, Closed, RequireApproval, WrittenObligation
from backstay.policy.points import POINTS, Point, is_glob
from backstay.policy.yaml_reading import MAX_BYTES, read_yaml

Effect = Literal["permit", "forbid", "hold"]
Outcome = Literal["allow", "deny", "hold"]
MAX_WHEN = 4096
_COUNTED = re.compile(r"args(\.[A-Za-z_][A-Za-z0-9_]*)+")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _glob(pattern: str) -> str:
    if not is_glob(pattern):
        raise ValueError(f"{pattern!r} is no pattern: ASCII letters, digits, _ . : / @ + - and the wildcards * and ?")
    return pattern


def _condition(text: str) -> str:
    if any(ord(character) < 32 and character not in "\n\t" for character in text):
        raise ValueError("a condition holds no control characters")
    return text


Glob = Annotated[str, AfterValidator(_glob)]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(_listed), Field(min_length=1, max_length=200, strict=False)]
Points = Annotated[tuple[Point, ...], BeforeValidator(_listed), Field(min_length=1, strict=False)]
RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
CounterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]


class Match(Closed):
    """Which requests a rule is about; what is left out is any."""

    point: Points
    action: Globs = ("*",)
    tool: Globs = ("*",)


class CasePrincipal(Closed):
    """Who asks, in a case."""

    id: str = "someone"
    roles: tuple[str, ...] = Field(default=(), strict=False)
    attributes: dict[str, Any] = Field(default_factory=dict)


class CaseResource(Closed):
    """What is asked for, in a case."""

    id: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)


class CaseCall(Closed):
    """What `guard.call_facts` says of the call, in a case."""

    side_effect: str = "none"
    facts: tuple[str, ...] = Field(default=(), strict=False)
    destination: tuple[str, ...] = Field(default=(), strict=False)
    selector: tuple[str, ...] = Field(default=(), strict=False)
    credential: tuple[str, ...] = Field(default=(), strict=False)
    amount: tuple[str, ...] = Field(default=(), strict=False)
    payload: tuple[str, ...] = Field(default=(), strict=False)


class CaseRequest(Closed):
    """A request as it stands in a case; point, action and tool may be left out where the rule names just one.

    Left out, `findings` is a scan that found nothing, `provenance` says `user` for every argument, counters are 0, and
    what is left out of `call` is empty, as for a call without a side effect.
    """

    point: Point | None = None
    action: str | None = None
    tool: str | None = None
    principal: CasePrincipal = Field(default_factory=CasePrincipal)
    resource: CaseResource = Field(default_factory=CaseResource)
    args: dict[str, Any] = Field(default_factory=dict)
    text: str = ""
    findings: dict[str, int] | None = Field(default_factory=dict)
    provenance: dict[str, list[str]] | None = None
    call: CaseCall | None = Field(default_factory=CaseCall)
    counters: dict[str, float] = Field(default_factory=dict)


class Case(Closed):
    """A request beside a rule, and what the whole policy must say to it."""

    name: str = ""
    request: CaseRequest
    expect: Outcome
    obligations: tuple[WrittenObligation, ...] | None = Field(default=None, strict=False)
    rules: tuple[str, ...] | None = Field(default=None, strict=False)


class Rule(Closed):
    """One rule."""

    id: RuleId
    version: int = Field(default=1, ge=1)
    effect: Effect
    match: Match
    when: Annotated[str, Field(min_length=1, max_length=MAX_WHEN), AfterValidator(_condition)] | None = None
    obligations: tuple[WrittenObligation, ...] = Field(default=(), strict=False)
    reason: str = Field(min_length=1, max_length=1000)
    mode: Literal["enforce", "shadow"] = "enforce"
    tests: tuple[Case, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _approvals_fit(self) -> "Rule":
        asks = any(isinstance(obligation, RequireApproval) for obligation in self.obligations)
        if self.effect == "hold" and not asks:
            raise ValueError("a hold says who may approve; add the obligation require_approval")
        if asks and self.effect != "hold":
            raise ValueError(f"require_approval belongs to effect: hold, not {self.effect}")
        return self


class Counter(Closed):
    """A number over a session's past: how many actions matched, or the sum of one of their arguments."""

    count: Literal[True] | None = None
    sum: str | None = None
    point: Point = "model.tool_call"
    action: Globs = ("*",)
    tool: Globs = ("*",)
    within_s: float | None = Field(default=None, gt=0, le=31_536_000)

    @model_validator(mode="after")
    def _one(self) -> "Counter":
        if (self.count is None) == (self.sum is None):
            raise ValueError("a counter has either count: true or sum: args.NAME")
        if self.sum is not None and not _COUNTED.fullmatch(self.sum):
            raise ValueError(f"sum: {self.sum!r} is no argument; for example args.amount")
        return self


class PolicyFile(Closed):
    """One policy file."""

    policy: Literal[1]
    default: dict[Point, Literal["allow", "deny"]] = Field(default_factory=dict)
    counters: dict[CounterName, Counter] = Field(default_factory=dict, max_length=64)
    rules: tuple[Rule, ...] = Field(strict=False, max_length=10_000)


def parse_policy(text: str, source: str) -> PolicyFile:
    """Check one policy file; raises UsageError that names file, rule, fault and cure."""
    data = read_yaml(text, source)
    if not isinstance(data, dict):
        raise UsageError(f"{source} is no mapping", cure="it starts with `policy: 1` and `rules:`")
    try:
        return PolicyFile.model_validate(data)
    except ValidationError as error:
        raise UsageError(_explain(error, data, source), cure="see docs/policy/rules.md") from error


def read_policy(path: Path) -> PolicyFile:
    """Read and check one policy file."""
    if not path.is_file():
        raise UsageError(f"policy {path} does not exist", cure="give the path of a policy file")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
    try:
        return parse_policy(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason}", cure="save it as UTF-8") from error


def _known(models: Iterable[type[Closed]]) -> list[str]:
    return sorted({key for model in models for key in model.model_fields} | set(KINDS) | set(POINTS))


_KEYS = _known([PolicyFile, Rule, Match, Case, CaseRequest, CasePrincipal, CaseCall, Counter, *KINDS.values()])


def _explain(error: ValidationError, data: dict[str, Any], source: str) -> str:
    lines = [_place(problem["loc"], data) + _fault(problem) for problem in error.errors()]
    return f"{source}: " + "\n  ".join(dict.fromkeys(lines))


def _fault(problem: Any) -> str:
    key = str(problem["loc"][-1]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.5)
        return f"unknown key {key!r}" + (f"; nearest known key: {near[0]}" if near else "")
    seen = repr(problem.get("input"))
    shown = "" if problem["type"] in ("missing", "value_error") else f", not {seen[:80]}"
    quote = " (quote a condition that YAML reads as something else)" if key == "when" and shown else ""
    return str(problem["msg"]).removeprefix("Value error, ") + shown + quote


def _place(loc: tuple[int | str, ...], data: dict[str, Any]) -> str:
    """`rule ID, KEY.KEY: ` in the words of the file."""
    if len(loc) > 1 and loc[0] == "rules" and isinstance(loc[1], int):
        rule = data["rules"][loc[1]]
        name = rule.get("id") if isinstance(rule, dict) else None
        rest = ".".join(str(part) for part in loc[2:])
        return f"rule {name or f'number {loc[1] + 1}'}" + (f", {rest}: " if rest else ": ")
    return ".".join(str(part) for part in loc) + ": " if loc else ""
