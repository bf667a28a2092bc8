"""What servers answer, decided before the client sees it: results by method, and errors."""

from collections.abc import Mapping
from typing import Any

from backstay.guard.gateway.answers import MalformedAnswer
from backstay.guard.gateway.incoming import WITHHELD
from backstay.guard.mcp.exchange import McpContext
from backstay.guard.mcp.messages import DENIED, INTERNAL, Id, RpcFault
from backstay.guard.mcp.methods import HANDSHAKE, LISTS, STATELESS, offered_capabilities
from backstay.guard.mcp.screening import Screened, kind_of, screen, without_media

CONTENT = frozenset({"text", "image", "audio", "resource", "resource_link"})
EMPTY = frozenset({"ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "subscriptions/listen"})
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
CALL_KEYS = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})
CODES = range(-33_000, 0)


def decide_result(
    context: McpContext, method: str, result: dict[str, Any], tool: str, given: Id, arguments: str = ""
) -> dict[str, Any]:
    """The result as the client gets it; raises RpcFault where it is denied, MalformedAnswer where it is none."""
    kind = result.get("resultType", "complete")
    if kind == "input_required":
        return _input_required(context, result)
    if kind != "complete":
        raise MalformedAnswer(f"its result is {str(kind)[:40]!r}, which is not offered here")
    stateless = context.session.revision in STATELESS
    if method in EMPTY:
        meta = {"_meta": {SUBSCRIPTION: given}} if method == "subscriptions/listen" else {}
        return {"resultType": "complete"} | meta if stateless else {}
    if method == "tools/call":
        return _call_result(context, result, tool, arguments)
    if method in LISTS:
        return _list_result(context, method, result)
    media_done = result if context.media else without_media(result)
    screened = screen(context, media_done, "retrieval", tool=context.server.name, action=method)
    return private(_passed(screened, f"the answer to {method}"))


def _call_result(context: McpContext, result: dict[str, Any], tool: str, arguments: str) -> dict[str, Any]:
    """Text, data and resources of a result are one decision; what is denied becomes an error that the model reads."""
    content = result.get("content", [])
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise MalformedAnswer("the content of a result is no list of parts")
    if not isinstance(result.get("structuredContent", {}), dict) or not isinstance(result.get("isError", False), bool):
        raise MalformedAnswer("a result has no known form")
    told = {name: value for name, value in result.items() if name in CALL_KEYS}
    told["content"] = [part if kind_of(part) in CONTENT else _unknown_part() for part in content]
    told = told if context.media else without_media(told)
    screened = screen(context, told, "tool.result", tool=tool)
    context.trail.add(tool, screened.text, arguments)
    if screened.value is not None:
        return screened.value
    notice = {"type": "text", "text": WITHHELD.format(why=screened.why)}
    kind = {"resultType": "complete"} if "resultType" in result else {}
    return kind | {"content": [notice], "isError": True, "_meta": {"backstay/decision": screened.ruling.id}}


def _unknown_part() -> dict[str, str]:
    return {"type": "text", "text": WITHHELD.format(why="no scanner reads a part of this kind")}


def _list_result(context: McpContext, method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Decided as a whole; where that is denied, entry by entry, and those that are denied are left out."""
    key = LISTS[method]
    rows = result.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedAnswer(f"{key} is no list of objects")
    if len(rows) > context.settings.limits.messages:
        raise MalformedAnswer(f"{key} has {len(rows)} entries; at most {context.settings.limits.messages} are taken")
    told = {
        name: value
        for name, value in result.items()
        if name in (key, "nextCursor", "resultType", "ttlMs", "cacheScope")
    }
    name = context.server.name
    whole = screen(context, told, "retrieval", tool=name, action=method)
    if whole.value is not None:
        context.trail.add(name, whole.text)
        return private(whole.value)
    kept = []
    for row in rows:
        one = screen(context, row, "retrieval", tool=name, action=method)
        if one.value is not None:
            context.trail.add(name, one.text)
            kept.append(one.value)
    rest = screen(context, {k: v for k, v in told.items() if k != key}, "retrieval", tool=name, action=method)
    return private({key: kept} | (rest.value or {}))


def _input_required(context: McpContext, result: dict[str, Any]) -> dict[str, Any]:
    """A server (2026-07-28) that asks something of the client before it goes on."""
    asked = result.get("inputRequests") or {}
    if not isinstance(asked, dict) or not all(isinstance(one, dict) for one in asked.values()):
        raise MalformedAnswer("what it asks for has no known form")
    methods = sorted({str(one.get("method"))[:60] for one in asked.values()})
    foreign = [method for method in methods if method not in context.server.asked]
    if foreign or not context.server.asked:
        what = ", ".join(foreign) or "another round"
        point = "retrieval"
        why = f"the server asks the client for {what}, which client_requests does not allow"
        ruling = context.ruled(context.enforcer.refuse(context.exchange, point, "guard:client-request", why))
        raise RpcFault(DENIED, why, data={"code": "denied", "decision": ruling.id})
    told: dict[str, Any] = {
        name: result[name] for name in ("resultType", "inputRequests", "requestState", "_meta") if name in result
    }
    return _passed(screen(context, told, "retrieval", tool=context.server.name), "what the server asks for")


def decide_error(context: McpContext, error: Mapping[str, Any], point: str, tool: str) -> dict[str, Any]:
    """An error as the client gets it: its code, and its words where they are allowed."""
    code = error["code"] if error["code"] in CODES else INTERNAL
    told = {"message": error["message"][:4000]} | ({"data": error["data"]} if "data" in error else {})
    if not context.server.asked and code == -32042:  # MCP: addresses that users should open.
        told.pop("data", None)
    screened = screen(context, told, point, tool=tool)
    context.trail.add(tool, screened.text)
    return {"code": code} | (screened.value or {"message": WITHHELD.format(why=screened.why)})


def decide_opening(context: McpContext, method: str, result: dict[str, Any]) -> dict[str, Any]:
    """The result of `initialize` or `server/discover`: what is offered here, and words for the model if allowed."""
    told: dict[str, Any] = {"capabilities": offered_capabilities(result.get("capabilities"))}
    if method == "initialize":
        if result.get("protocolVersion") not in HANDSHAKE:
            raise MalformedAnswer(f"it speaks revision {str(result.get('protocolVersion'))[:40]!r}")
        told["protocolVersion"] = result["protocolVersion"]
    else:
        versions = result.get("supportedVersions")
        known = [one for one in (*HANDSHAKE, *STATELESS) if isinstance(versions, list) and one in versions]
        told |= {"supportedVersions": known, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    words: dict[str, Any] = {name: result[name] for name in ("serverInfo", "instructions", "_meta") if name in result}
    screened = screen(context, words, "request.tools", tool=context.server.name)
    nobody = {"serverInfo": {"name": context.server.name, "version": "withheld"}} if method == "initialize" else {}
    return told | (nobody if screened.value is None else nobody | screened.value)


def private(result: dict[str, Any]) -> dict[str, Any]:
    """What was decided for one principal is not for others."""
    return result | {"cacheScope": "private"} if "cacheScope" in result else result


def _passed(screened: Screened, what: str) -> dict[str, Any]:
    if screened.value is None:
        facts = {"code": "denied", "decision": screened.ruling.id, "rules": list(screened.ruling.decision.rules)}
        raise RpcFault(DENIED, f"{what} was denied: {screened.why}", data=facts)
    return screened.value
