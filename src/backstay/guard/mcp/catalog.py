"""The tools of a server as a client may see them: plain names, pinned, decided one by one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

from backstay.guard.gateway.context import Context
from backstay.guard.gateway.incoming import DecidedTexts, Remembered
from backstay.guard.mcp.pins import Pins, digest_of, lookalikes, seen_part
from backstay.guard.mcp.screening import text_of
from backstay.guard.mcp.settings import McpServerSettings
from backstay.policy.points import glob_matches, is_plain_name
from backstay.records import content_hash

PIN, NAME = "guard:pin", "guard:tool-name"
"""Stand as the rule where a tool was left out by the proxy itself."""
_PINNED_WHY = {
    "changed": "what it says of itself changed after it was pinned; an operator can look at it and pin it again",
    "new": "it is new, and an operator has not pinned it",
    "full": "its server has more tools than can be pinned",
}


class Offered(NamedTuple):
    """One tool: what a client sees of it, and why it is left out ("": it is not)."""

    name: str
    definition: dict[str, Any]
    digest: str
    refused: str = ""


@dataclass(frozen=True)
class Catalog:
    """The tools of a server by name."""

    tools: dict[str, Offered]
    listed_s: float = field(default_factory=monotonic)

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Those that a client sees, in order."""
        return [tool.definition for tool in self.tools.values() if not tool.refused]


@dataclass
class ToolJudge:
    """Decides which tools of one server are offered."""

    server: str
    settings: McpServerSettings
    pins: Pins
    decided: DecidedTexts

    def policy_name(self, tool: str) -> str:
        """The name that policies see."""
        return tool if self.settings.tool_names == "tool" else f"{self.server}/{tool}"

    def catalog(self, context: Context, listed: Sequence[Any]) -> Catalog:
        """Decide on all tools that a server lists."""
        named = [tool for tool in listed if isinstance(tool, dict) and is_plain_name(tool.get("name"))]
        counts = Counter(tool["name"] for tool in named)
        alike = lookalikes(counts, self.pins.names(self.server) if self.settings.pin else ())
        tools: dict[str, Offered] = {}
        for tool in named:
            name = tool["name"]
            seen = seen_part(tool)
            why = self._form_fault(tool, counts[name], name in alike)
            if why:
                self._note(context, name, NAME, why)
            why = why or self._pin_fault(context, seen) or self._denial(context, seen)
            tools[name] = Offered(name, seen, digest_of(seen), why)
        return Catalog(tools)

    def _form_fault(self, tool: dict[str, Any], times: int, alike: bool) -> str:
        name = tool["name"]
        if not any(glob_matches(pattern, name) for pattern in self.settings.tools):
            return "it is not among the tools that are offered"
        if not is_plain_name(self.policy_name(name)):
            return "its name is too long"
        if times > 1:
            return "two tools have this name"
        if alike:
            return "its name looks like that of another tool"
        if not isinstance(tool.get("inputSchema"), dict):
            return "it has no schema of its arguments"
        return ""

    def _pin_fault(self, context: Context, seen: dict[str, Any]) -> str:
        if not self.settings.pin:
            return ""
        verdict = self.pins.check(self.server, seen, first=self.settings.new_tools == "pin")
        if verdict == "pinned":
            return ""
        self._note(context, seen["name"], PIN, f"{_PINNED_WHY[verdict]} ({digest_of(seen)[:12]})")
        return _PINNED_WHY[verdict]

    def _denial(self, context: Context, seen: dict[str, Any]) -> str:
        """Decide on what a tool says of itself; clients list tools often, so decisions are remembered."""
        exchange = context.exchange
        who = content_hash([exchange.principal, list(exchange.roles), exchange.resource, exchange.session])
        key = ("mcp-tool", context.enforcer.bundle.hash, who, self.server, digest_of(seen))
        known = self.decided.get(key)
        if known is None:
            text = text_of(seen)
            findings = context.scans.findings(text, "request.tools")
            name = self.policy_name(seen["name"])
            ruling = context.enforcer.rule(exchange, "request.tools", text=text, findings=findings, tool=name)
            context.ruled(ruling)
            allowed = ruling.decision.effect == "allow"
            known = Remembered("allow" if allowed else "deny", None if allowed else ruling.why)
            self.decided.put(key, known)
        return "" if known.effect == "allow" else known.put or "policy does not allow it"

    def _note(self, context: Context, tool: str, rule: str, why: str) -> None:
        """A row of the journal that says why a tool was left out, once for each reason."""
        key = ("mcp-note", self.server, context.exchange.session, tool, why)
        if self.decided.get(key) is None:
            name = self.policy_name(tool)
            shown = name if is_plain_name(name) else self.server
            context.ruled(context.enforcer.refuse(context.exchange, "request.tools", rule, why, tool=shown))
            self.decided.put(key, Remembered("deny", None))
