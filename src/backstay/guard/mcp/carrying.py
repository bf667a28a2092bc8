"""A request of a client, from what it may ask to what it is told."""

from time import monotonic
from typing import Any

import orjson

from backstay.guard.mcp.asking import Asked, ask, list_tools
from backstay.guard.mcp.catalog import Catalog
from backstay.guard.mcp.client_messages import decide_words
from backstay.guard.mcp.exchange import ArgumentCheck, McpContext
from backstay.guard.mcp.messages import RpcRequest, RpcResponse
from backstay.guard.mcp.methods import STATELESS
from backstay.guard.mcp.replies import ClientReply
from backstay.guard.mcp.results import decide_error, decide_opening, decide_result
from backstay.guard.mcp.settings import McpLimits
from backstay.guard.mcp.tool_calls import AllowedCall, decide_call

OPENING = ("initialize", "server/discover")


async def carry_out(
    context: McpContext,
    asked: RpcRequest,
    params: dict[str, Any],
    far: int,
    reply: ClientReply,
    limits: McpLimits,
    check: ArgumentCheck | None,
) -> RpcResponse:
    """Decide on a request, ask the server, and decide on its answer; `far` is the id that the server is given.

    Raises RpcFault, ServerError, and all that the transport raises.
    """
    method, server = asked.method, context.server
    if method in ("tools/list", "tools/call"):
        catalog = await _catalog(context, params.get("_meta"), limits, again=method == "tools/list")
    if method == "tools/list":
        kind = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        more = kind if context.session.revision in STATELESS else {}
        return RpcResponse(asked.id, {"tools": catalog.shown} | more)
    call: AllowedCall | None = None
    if method == "tools/call":
        meta = asked.params.get("_meta")
        call = await decide_call(context, params, meta, check)
        params = call.params
    decide_words(context, method, params)
    await context.on_disk()
    schema = call.tool.definition["inputSchema"] if call else None
    name = call.name if call else server.name
    sent = Asked(RpcRequest(far, method, params), asked.id, name, schema)
    answered = await ask(context, sent, limits, reply)
    if call is not None and call.resumed is not None:
        await context.holds.sent(call.resumed)
    return decided(context, asked, answered.response, call)


def decided(
    context: McpContext, asked: RpcRequest, response: RpcResponse, call: AllowedCall | None = None
) -> RpcResponse:
    """A server's answer as the client gets it."""
    name = call.name if call else context.server.name
    if response.result is None:
        point = "tool.result" if call else "retrieval"
        return RpcResponse(asked.id, None, decide_error(context, response.error or {}, point, name))
    if asked.method in OPENING:
        return RpcResponse(asked.id, decide_opening(context, asked.method, response.result))
    given = orjson.dumps(call.params["arguments"]).decode() if call else ""
    return RpcResponse(asked.id, decide_result(context, asked.method, response.result, name, asked.id, given))


async def _catalog(context: McpContext, meta: Any, limits: McpLimits, *, again: bool) -> Catalog:
    """The server's tools, asked for where the session does not know them as they are now."""
    known = context.session.catalog
    if known is not None and not again and monotonic() - known.listed_s < limits.catalog_s:
        return known
    kept = {name: value for name, value in (meta or {}).items() if name != "progressToken"}
    listed = await list_tools(context, kept, limits, context.session.next_id)
    known = context.session.catalog = context.server.judge.catalog(context, listed)
    await context.on_disk()
    return known
