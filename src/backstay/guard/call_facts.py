"""What a policy is told of a tool call: where its arguments came from by their roles, and whether the user asked for it.

`facts_of(...).call` is `policy.Request.call`, `facts_of(...).provenance.by_argument()` is `policy.Request.provenance`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from backstay.guard.conversation import Message
from backstay.guard.intent import asked_for, user_words
from backstay.guard.leaves import Leaf, leaves
from backstay.guard.output_fields import OutputFields
from backstay.guard.provenance import LeafOrigins, Provenance, origins_of
from backstay.guard.tool_roles import Role, Tool, ToolRoles

Fact = Literal["after_untrusted", "not_asked_for", "undeclared", "undeclared_argument"]
_LISTED: tuple[Role, ...] = ("destination", "selector", "credential", "amount", "payload")
_VOUCH = frozenset({"user", "system", "directory", "record"})
_UNDECLARED = Tool.model_construct(side_effect="none", arguments={}, verbs="any", output="untrusted")


class CallFacts(NamedTuple):
    """The facts of one call."""

    provenance: Provenance
    call: dict[str, str | list[str]]
    """`side_effect`, `facts`, and for each role what holds of at least one leaf of such arguments."""


def facts_of(messages: Sequence[Message], tool: str, arguments: Mapping[str, Any], tools: ToolRoles) -> CallFacts:
    """What is known of a call before it is made.

    Args:
        messages: the conversation before the call.
        tool: the name of the tool.
        arguments: of the call, as parsed JSON.
        tools: what the operator says of his tools; of one that is not there, the facts say `undeclared`.
    """
    fields = OutputFields(tools, messages)
    directories = {message.tool for message in messages if message.role == "tool" and fields.is_trusted(message)}
    found = origins_of(messages, arguments, directories=directories, fields=fields)
    declared = tools.get(tool, _UNDECLARED)
    call: dict[str, str | list[str]] = {
        "side_effect": declared.side_effect if tool in tools else "undeclared",
        "facts": sorted(_facts(messages, tool, arguments, tools, directories)),
    }
    return CallFacts(found, call | _by_role(declared, [*leaves(arguments)], found.leaves))


def _facts(
    messages: Sequence[Message],
    tool: str,
    arguments: Mapping[str, Any],
    tools: ToolRoles,
    directories: set[str],
) -> Iterator[Fact]:
    if any(message.role == "tool" and message.tool not in directories for message in messages):
        yield "after_untrusted"
    declared = tools.get(tool)
    if declared is None:
        yield "undeclared"
        return
    if declared.side_effect != "none" and declared.verbs != "any" and not asked_for(user_words(messages), declared.verbs):
        yield "not_asked_for"
    if arguments.keys() - {path.partition(".")[0] for path in declared.arguments}:
        yield "undeclared_argument"


def _by_role(tool: Tool, given: Sequence[Leaf], found: Sequence[LeafOrigins]) -> dict[str, str | list[str]]:
    words: dict[str, set[str]] = {role: set() for role in _LISTED}
    for leaf, origins in zip(given, found, strict=True):
        role = tool.role(leaf.names)
        if role != "text" and not _says_nothing(leaf):
            words[role].update(_words(role, origins))
    return {role: sorted(said) for role, said in words.items()}


def _says_nothing(leaf: Leaf) -> bool:
    """Whether a leaf is null, true, false, or empty, and was looked at."""
    return leaf.examined and (leaf.value is None or isinstance(leaf.value, bool) or leaf.value == "")


def _words(role: Role, leaf: LeafOrigins) -> Iterator[str]:
    """The origins of a leaf, its flag, and what a policy would have to conclude from both.

    `unvouched`: nobody trusted said it; of a credential, not the user. `altered`: a part of it is a tool's, and the
    whole is nobody's, so that it may carry something out.
    """
    yield from leaf.origins
    if leaf.flag:
        yield leaf.flag
    vouch = {"user"} if role == "credential" else _VOUCH
    if vouch.isdisjoint(leaf.origins):
        yield "unvouched"
        if leaf.copied < 1:
            yield "altered"
