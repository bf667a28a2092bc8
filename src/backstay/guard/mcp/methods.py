"""What may be said in MCP by whom: methods, their parameters, and revisions; everything else is refused."""

from collections.abc import Mapping
from typing import Any

from backstay.guard.mcp.messages import INVALID_PARAMS, METHOD_NOT_FOUND, RpcFault

HANDSHAKE = ("2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions with `initialize` and sessions."""
STATELESS = ("2026-07-28",)
"""Revisions in which every request stands for itself."""
VERSION_META = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_META = "io.modelcontextprotocol/clientCapabilities"
APPROVAL_META = "backstay/approval"
PASSED_META = frozenset(
    {
        "progressToken",
        VERSION_META,
        CAPABILITIES_META,
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/logLevel",
    }
)
CLIENT_REQUESTS: Mapping[str, frozenset[str]] = {
    "initialize": frozenset({"protocolVersion", "capabilities", "clientInfo"}),
    "server/discover": frozenset(),
    "ping": frozenset(),
    "tools/list": frozenset({"cursor"}),
    "tools/call": frozenset({"name", "arguments"}),
    "resources/list": frozenset({"cursor"}),
    "resources/templates/list": frozenset({"cursor"}),
    "resources/read": frozenset({"uri"}),
    "resources/subscribe": frozenset({"uri"}),
    "resources/unsubscribe": frozenset({"uri"}),
    "prompts/list": frozenset({"cursor"}),
    "prompts/get": frozenset({"name", "arguments"}),
    "completion/complete": frozenset({"ref", "argument", "context"}),
    "logging/setLevel": frozenset({"level"}),
    "subscriptions/listen": frozenset({"notifications"}),
}
"""Requests of clients, each with the parameters that are passed on."""
INPUT_PARAMS = frozenset({"inputResponses", "requestState"})
"""What a client sends again when a server (2026-07-28) asked it for something; needs `client_requests`."""
CLIENT_NOTIFICATIONS = frozenset(
    {
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)
SERVER_NOTIFICATIONS = frozenset(
    {
        "notifications/cancelled",
        "notifications/message",
        "notifications/progress",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
    }
)
LISTS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
ASKING = frozenset({"resources/read", "resources/subscribe", "prompts/get", "completion/complete"})
"""Requests that carry words of the model to the server, and so are decided before they go out."""
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
CAPABILITY_OF = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}
SERVER_CAPABILITIES = frozenset({"tools", "resources", "prompts", "completions", "logging"})


def passed_params(method: str, params: Mapping[str, Any], asked: frozenset[str]) -> dict[str, Any]:
    """The parameters that are passed on; raises RpcFault for a method or parameter that is not offered.

    `asked` are the requests that the server may make of the client; capabilities for others are not shown to it.
    """
    known = CLIENT_REQUESTS.get(method)
    if known is None:
        raise RpcFault(METHOD_NOT_FOUND, f"{method} is not offered here")
    if asked and method in NAMED:
        known |= INPUT_PARAMS
    foreign = sorted(str(name)[:40] for name in params if name not in known and name != "_meta")
    if foreign:
        raise RpcFault(INVALID_PARAMS, f"{method} is not offered with {', '.join(foreign)}")
    kept = {name: value for name, value in params.items() if name in known}
    meta = params.get("_meta")
    if meta is not None and not isinstance(meta, dict):
        raise RpcFault(INVALID_PARAMS, "_meta is no object")
    passed = {name: value for name, value in (meta or {}).items() if name in PASSED_META}
    if CAPABILITIES_META in passed:
        passed[CAPABILITIES_META] = shown_capabilities(passed[CAPABILITIES_META], asked)
    if "capabilities" in kept:
        kept["capabilities"] = shown_capabilities(kept["capabilities"], asked)
    return kept | ({"_meta": passed} if passed else {})


def shown_capabilities(given: Any, asked: frozenset[str]) -> dict[str, Any]:
    """A client's capabilities without those for requests that the server may not make."""
    shown = {CAPABILITY_OF[method] for method in asked}
    return {name: value for name, value in given.items() if name in shown} if isinstance(given, dict) else {}


def offered_capabilities(given: Any) -> dict[str, Any]:
    """A server's capabilities without those that are not passed on, such as tasks and experimental ones."""
    found = given if isinstance(given, dict) else {}
    return {name: value for name, value in found.items() if name in SERVER_CAPABILITIES and isinstance(value, dict)}
