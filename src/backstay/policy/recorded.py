"""Decisions as the ledger keeps them, read again as requests; and what a row must say of contents for that."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backstay.policy.binding import reads_as_nan
from backstay.policy.cel import MAX_DEPTH, unfit
from backstay.policy.request import Request
from backstay.policy.rules import Effect, Outcome

KIND = "guard.decision"
Readable = Literal["yes", "no", "nan"]
Text = Annotated[str, Field(max_length=4000)]
_NAN_BEGINS = frozenset("+-nN")
_UNREADABLE = ("the request holds ", "the request cannot be read")
_NAN = "the request holds text that double() reads as NaN"


class Content(BaseModel):
    """The contents. Only where they are `exact` are they what was decided upon, neither redacted nor masked."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    exact: bool = False
    text: str
    args: dict[str, Any]
    attributes: dict[Literal["principal", "resource"], dict[str, Any]] | None = None
    doubles: list[list[str | int]] | None = None
    """Where in `args` and `attributes` whole numbers stood that were doubles: canonical JSON writes 10.0 as 10."""


class RecordedDecision(BaseModel):
    """The part of a `guard.decision` row that a policy can be asked about again; other keys are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    id: Annotated[str, Field(min_length=1, max_length=200)]
    point: Text
    action: Text
    tool: Text
    principal: Text
    roles: list[str]
    resource: str
    effect: Outcome
    rules: list[Text]
    errors: list[tuple[str, str]]
    obligations: list[dict[str, Any]] | None = None
    policy: Text
    findings: dict[str, int] | None
    provenance: dict[str, list[str]] | None
    call: dict[str, str | list[str]] | None = None
    counters: dict[str, int | float | None]
    shadow: list[tuple[Text, Effect, bool, str]] = Field(default_factory=list)
    shadow_effect: Outcome | None = None
    args_shape: dict[str, str] | None = None
    readable: Readable | None = None
    escaped: bool = False
    """Whether values were changed so that JSON can hold them (lone surrogates, integers beyond 2**53, NaN)."""
    content: Content | None = None

    def fitness(self) -> Readable | None:
        """Whether conditions could read the request; None when the row does not say."""
        if self.readable is not None:
            return self.readable
        for _, message in (*self.errors, *((s[0], s[3]) for s in self.shadow)):
            if message.startswith(_UNREADABLE):
                return "nan" if message == _NAN else "no"
        return None


def readable(request: Request) -> Readable:
    """Whether conditions can read the request: a row without contents must say so, or it cannot be decided again.

    The same as `cel.unfit` and `binding.reads_as_nan` say of the bound variables, in one walk.
    """
    if isinstance(request.roles, str):
        return "no"
    named = (request.point, request.action, request.tool, request.principal, request.resource, request.text)
    maps = (request.args, request.principal_attributes, request.resource_attributes, request.counters)
    try:
        origins = {name: list(found) for name, found in (request.provenance or {}).items()}
        inner = [dict(found) for found in (*maps, request.findings or {}) if found]
        return _worst((*named, *request.roles, *inner, origins), 1)
    except (TypeError, ValueError):
        return "no"


def _worst(values: Iterable[Any], depth: int) -> Readable:
    nan = False
    for value in values:
        kind = type(value)
        if kind is str:
            if "\0" in value:
                return "no"
            nan = nan or (value.lstrip()[:1] in _NAN_BEGINS and reads_as_nan(value))
        elif kind is dict or kind is list or kind is tuple:
            if depth >= MAX_DEPTH or (kind is dict and any(not isinstance(key, str) or "\0" in key for key in value)):
                return "no"
            found = _worst(value.values() if kind is dict else value, depth + 1)
            if found == "no":
                return "no"
            nan = nan or found == "nan"
        elif unfit(value, depth):
            return "no"
        else:
            nan = nan or reads_as_nan(value)
    return "nan" if nan else "yes"


def whole_doubles(args: Mapping[str, Any], attributes: Mapping[str, Any]) -> list[list[str | int]] | None:
    """Paths of doubles without a fraction, for `Content.doubles`; None when -0.0 is among them, which JSON loses."""
    found: list[list[str | int]] = []
    try:
        _find_doubles([args, attributes], [], found)
    except (ValueError, RecursionError):
        return None
    return found


def request_of_row(row: RecordedDecision, counters: Mapping[str, float | None]) -> Request:
    """The request as far as the row holds it; arguments without contents keep their names, with null values."""
    content = row.content
    held = None if content is None or not content.exact else content
    args, attributes = (dict.fromkeys(row.args_shape or ()), {}) if held is None else restored(held)
    return Request(
        point=row.point,
        action=row.action,
        tool=row.tool,
        principal=row.principal,
        roles=row.roles,
        principal_attributes=attributes.get("principal", {}),
        resource=row.resource,
        resource_attributes=attributes.get("resource", {}),
        args=args,
        text="" if held is None else held.text,
        findings=row.findings,
        provenance=row.provenance,
        call=row.call,
        counters=counters,
    )


def restored(content: Content) -> tuple[dict[str, Any], Mapping[Any, dict[str, Any]]]:
    """Arguments and attributes with whole doubles as doubles again; raises ValueError when a path leads nowhere."""
    whole: list[Any] = [content.args, content.attributes]
    for path in content.doubles or ():
        place: Any = whole
        try:
            for part in path[:-1]:
                place = place[part]
            if type(place[path[-1]]) not in (int, float):
                raise ValueError("a path of doubles leads to what is no number")
            place[path[-1]] = float(place[path[-1]])
        except (LookupError, TypeError) as error:
            raise ValueError("a path of doubles leads nowhere") from error
    return content.args, content.attributes or {}


def holds_whole_numbers(value: Any) -> bool:
    """Whether a number in a value may have been an integer or a double."""
    if isinstance(value, dict):
        return any(holds_whole_numbers(item) for item in value.values())
    if isinstance(value, list):
        return any(holds_whole_numbers(item) for item in value)
    return type(value) is int


def _find_doubles(value: Any, path: list[str | int], found: list[list[str | int]]) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            _find_doubles(item, [*path, name], found)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _find_doubles(item, [*path, index], found)
    elif isinstance(value, float) and value.is_integer():
        if value == 0 and str(value).startswith("-"):
            raise ValueError("-0.0 is not written")
        found.append(path)


def read_row(payload: str) -> RecordedDecision | None:
    """A recorded row, None when it is malformed."""
    try:
        return RecordedDecision.model_validate_json(payload)
    except ValueError:
        return None
