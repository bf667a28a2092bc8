"""What an operator says of his tools: what a call does, what each argument is for, which outputs outsiders write."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from backstay.errors import UsageError
from backstay.policy.obligations import Closed
from backstay.policy.yaml_reading import MAX_BYTES, read_yaml

SideEffect = Literal["none", "reads_outside", "writes", "sends", "pays", "destroys", "credentials"]
Role = Literal["destination", "selector", "credential", "amount", "payload", "text"]
HEAD = "tool_roles"
MAX_DEPTH, MAX_WORDS = 16, 5
_NEEDS: dict[SideEffect, frozenset[Role]] = {
    "reads_outside": frozenset({"destination"}),
    "sends": frozenset({"destination"}),
    "pays": frozenset({"destination"}),
    "destroys": frozenset({"selector", "destination"}),
    "credentials": frozenset({"credential"}),
}

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/@+-]{1,200}$")]


# Not patterns: the compiled classes of all letters, repeated so often, took 4 MB and a thirtieth of a second.
def _path(text: str) -> str:
    names = text.split(".")
    if len(names) > MAX_DEPTH or not all(name.isidentifier() for name in names):
        raise ValueError(f"{text!r:.80} is no name of an argument, nor up to {MAX_DEPTH} names with dots between them")
    return text


def _verb(text: str) -> str:
    words = text.removesuffix("*").split(" ")
    if len(words) > MAX_WORDS or not all(word and f"_{word}".isidentifier() for word in words):
        raise ValueError(f"{text!r:.80} is not one to {MAX_WORDS} words with single spaces, a * at the end at most")
    return text


ArgumentPath = Annotated[str, AfterValidator(_path)]
FieldPath = Annotated[str, Field(min_length=1, max_length=200)]
FieldPaths = Annotated[tuple[FieldPath, ...], Field(max_length=100, strict=False)]
Verb = Annotated[str, Field(max_length=60), AfterValidator(_verb)]


class IfNamed(Closed):
    """How a user names a record, and which of its fields then count as trusted."""

    by: Annotated[FieldPaths, Field(min_length=1)]
    """One of these fields, such as its title, stands in what the user said."""
    fields: FieldPaths = ()


class Output(Closed):
    """What single values of an output are good for."""

    format: Literal["json", "yaml", "text"] = "json"
    trusted: FieldPaths = ()
    """Fields that nobody outside can write, by their path from the record: `id`, `owner.email`; `.` is the record."""
    if_named: IfNamed | None = None
    lone: Annotated[tuple[Literal["email", "url"], ...], Field(strict=False)] = ()
    """Kinds of address that count as `named` where one alone stands in all that the user named, and he gave none."""

    @model_validator(mode="after")
    def _structured(self) -> Self:
        if self.format == "text" and (self.trusted or self.if_named):
            raise ValueError("an output of format: text has no fields; only lone: is read from it")
        return self


class Tool(Closed):
    """One tool."""

    side_effect: SideEffect
    arguments: dict[ArgumentPath, Role] = Field(default_factory=dict, max_length=200)
    """The role of each argument; one that is not named is a destination. `items.id` is a field within an argument."""
    verbs: Literal["any"] | Annotated[tuple[Verb, ...], Field(max_length=100, strict=False)] = ()
    """Words by which users ask for it, `book*` for all that begin so; `any` where that is not to be asked."""
    output: Literal["trusted", "untrusted"] | Output = "untrusted"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.side_effect == "none":
            return self
        if not self.verbs:
            raise ValueError("a tool with a side effect has verbs, the words by which users ask for it, or verbs: any")
        wanted = _NEEDS.get(self.side_effect)
        if wanted and wanted.isdisjoint(self.arguments.values()):
            raise ValueError(
                f"side_effect: {self.side_effect} needs an argument that is a {' or '.join(sorted(wanted))}"
            )
        return self

    def role(self, names: tuple[str, ...]) -> Role:
        """The role of a leaf, by the names on the way to it: the longest declared path that it lies within.

        A name with a dot might pass for another argument's path, so it is a destination.
        """
        if any("." in name for name in names):
            return "destination"
        for length in range(min(len(names), MAX_DEPTH), 0, -1):
            role = self.arguments.get(".".join(names[:length]))
            if role is not None:
                return role
        return "destination"


class ToolRolesFile(Closed):
    """One file."""

    tool_roles: Literal[1]
    tools: dict[ToolName, Tool] = Field(max_length=5000)


ToolRoles = Mapping[str, Tool]
"""Tools by name."""


def parse_tool_roles(text: str, source: str) -> dict[str, Tool]:
    """Check one file; raises UsageError that names file, tool, fault and cure."""
    data = read_yaml(text, source)
    if not isinstance(data, dict):
        raise UsageError(f"{source} is no mapping", cure=f"it starts with `{HEAD}: 1` and `tools:`")
    try:
        return ToolRolesFile.model_validate(data).tools
    except ValidationError as error:
        faults = dict.fromkeys(_fault(problem) for problem in error.errors())
        raise UsageError(f"{source}: " + "\n  ".join(faults), cure="see docs/guard/tool_roles.md") from error


def load_tool_roles(paths: Iterable[Path]) -> dict[str, Tool]:
    """Read and check files; of a folder, those of its *.yaml that begin as such a file does. Raises UsageError."""
    tools: dict[str, Tool] = {}
    for path in _files(paths):
        for name, tool in parse_tool_roles(_text(path), str(path)).items():
            if tools.setdefault(name, tool) != tool:
                raise UsageError(f"{path}: tool {name} is declared otherwise in another file", cure="keep one of them")
    return tools


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.glob("*.yaml")) if _is_roles(file))
        else:
            yield path


def _is_roles(path: Path) -> bool:
    """Whether a file of a folder is about tools; the other ones there are policies."""
    data = read_yaml(_text(path), str(path))
    return isinstance(data, dict) and HEAD in data


def _text(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path} does not exist", cure="give the path of a file that begins with `tool_roles: 1`")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason}", cure="save it as UTF-8") from error


def _fault(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    seen = "" if problem["type"] in ("missing", "value_error") else f", not {problem.get('input')!r:.80}"
    return f"{place}: {str(problem['msg']).removeprefix('Value error, ')}{seen}"
