"""What a policy is told of a tool call: where its arguments came from, by role, and whether the user asked for it.

`facts_of(...).call` is `policy.Request.call`, `facts_of(...).provenance.by_argument()` is `policy.Request.provenance`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from backstay.guard.clues import key_of
from backstay.guard.conversation import Message
from backstay.guard.intent import asked_for, user_words
from backstay.guard.leaves import Leaf, leaves
from backstay.guard.output_fields import OutputFields
from backstay.guard.provenance import LeafOrigins, Provenance, Vouched, origins_of
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


def facts_of(
    messages: Sequence[Message], tool: str, arguments: Mapping[str, Any], tools: ToolRoles, known: Collection[str] = ()
) -> CallFacts:
    """What is known of a call before it is made.

    Args:
        messages: the conversation before the call.
        tool: the name of the tool.
        arguments: of the call, as parsed JSON.
        tools: what the operator says of his tools; of one that is not there, the facts say `undeclared`.
        known: destinations that the user has had before, such as his address book; they count as a directory's.
    """
    outputs = OutputFields(tools, messages)
    directories = outputs.directories()
    vouched: Vouched = {**outputs.values(), "directory": {key_of(one) for one in known}}
    found = origins_of(messages, arguments, directories=directories, vouched=vouched)
    declared = tools.get(tool, _UNDECLARED)
    call: dict[str, str | list[str]] = {
        "side_effect": declared.side_effect if tool in tools else "undeclared",
        "facts": sorted(_facts(messages, arguments, tools.get(tool), directories)),
    }
    return CallFacts(found, call | _by_role(declared, [*leaves(arguments)], found.leaves))


def _facts(
    messages: Sequence[Message], arguments: Mapping[str, Any], declared: Tool | None, directories: set[str]
) -> Iterator[Fact]:
    if any(message.role == "tool" and message.tool not in directories for message in messages):
        yield "after_untrusted"
    if declared is None:
        yield "undeclared"
        return
    verbs = declared.verbs
    if declared.side_effect != "none" and verbs != "any" and not asked_for(user_words(messages), verbs):
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
    """The origins of a leaf, its flag, and what follows from both.

    `unvouched`: nobody trusted said it; of a credential, not the user. `named_only`: it stands alone in a source that
    the user named, and nobody else stands for it. `altered`: nobody said it as a whole, so it may carry something out.
    """
    yield from leaf.origins
    if leaf.flag and (leaf.flag != "address" or role == "payload"):
        yield leaf.flag
    vouch = {"user"} if role == "credential" else _VOUCH
    if vouch.isdisjoint(leaf.origins):
        yield "named_only" if "named" in leaf.origins and role != "credential" else "unvouched"
        if leaf.copied < 1:
            yield "altered"
