"""What servers have said to a session so far, for the provenance of arguments; in bounded memory."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from time import monotonic
from typing import Any

from backstay.guard.call_facts import CallFacts, facts_of
from backstay.guard.conversation import Message
from backstay.guard.provenance import Origin
from backstay.guard.tool_roles import ToolRoles

ASSUMED: tuple[Origin, ...] = ("tool", "tool_only")
"""Origins of every argument once something was forgotten: the worst is assumed."""


class Trail:
    """Results of the MCP servers that one session of the guard talks to, the newest `most` characters of them."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._said: deque[Message] = deque()
        self.forgot = False

    def add(self, tool: str, text: str, arguments: str = "") -> None:
        """A server said this, when a tool was called with these arguments, or on its own."""
        if not text:
            return
        self._said.append(Message("tool", text, tool, arguments))
        self._size += len(text)
        while self._size > self._most:
            self._size -= len(self._said.popleft().text)
            self.forgot = True

    def facts(self, tool: str, args: Mapping[str, Any], tools: ToolRoles) -> CallFacts:
        """What is known of a call; MCP does not tell what the user said, so nobody but directories vouches."""
        found = facts_of(list(self._said), tool, args, tools)
        return _at_worst(found) if self.forgot else found


def _at_worst(found: CallFacts) -> CallFacts:
    leaves = tuple(
        leaf._replace(origins=tuple(sorted({*leaf.origins, *ASSUMED})), flag="assumed")
        for leaf in found.provenance.leaves
    )
    call = {
        name: sorted({*words, *(("after_untrusted",) if name == "facts" else ASSUMED)})
        if isinstance(words, list) and (words or name == "facts")
        else words
        for name, words in found.call.items()
    }
    return CallFacts(found.provenance._replace(leaves=leaves), call)


class Trails:
    """The trails of all sessions; one that was not used for `idle_s` is dropped, and so is the oldest of too many."""

    def __init__(self, most_chars: int, idle_s: float, most: int) -> None:
        self._most_chars, self._idle_s, self._most = most_chars, idle_s, most
        self._trails: OrderedDict[str, tuple[float, Trail]] = OrderedDict()

    def of(self, session: str) -> Trail:
        """The trail of a session of the guard."""
        now_s = monotonic()
        known = self._trails.pop(session, None)
        trail = known[1] if known is not None and now_s - known[0] < self._idle_s else None
        if trail is None:
            trail = Trail(self._most_chars)
            trail.forgot = len(self._trails) >= self._most
        if len(self._trails) >= self._most:
            self._trails.popitem(last=False)
        self._trails[session] = (now_s, trail)
        return trail
