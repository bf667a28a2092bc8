"""What servers say unasked: notifications that are known pass as decided, requests only where they are allowed."""

from typing import Any

from backstay.guard.mcp.exchange import McpContext
from backstay.guard.mcp.messages import DENIED, Id, RpcFault, RpcNotification, RpcRequest, RpcResponse, key_of
from backstay.guard.mcp.methods import SERVER_NOTIFICATIONS, STATELESS
from backstay.guard.mcp.results import SUBSCRIPTION
from backstay.guard.mcp.screening import screen

CLIENT_REQUEST = "guard:client-request"
BARE = frozenset(
    {
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/tools/list_changed",
    }
)
PARAMS = {
    "notifications/message": ("level", "logger", "data", "_meta"),
    "notifications/progress": ("progressToken", "progress", "total", "message", "_meta"),
    "notifications/resources/updated": ("uri", "_meta"),
    "notifications/subscriptions/acknowledged": ("notifications", "_meta"),
    "notifications/cancelled": ("requestId", "reason", "_meta"),
}


def decide_notification(
    context: McpContext, told: RpcNotification, *, far: int | None, given: Id | None, tool: str
) -> RpcNotification | None:
    """A notification as the client gets it, None where it gets none.

    `far` and `given` are the ids of the request in whose answer it came: the server's and the client's.
    """
    method, params = told
    if method not in SERVER_NOTIFICATIONS:
        return None
    if method == "notifications/tools/list_changed":
        context.session.catalog = None
    if method in BARE:
        return RpcNotification(method, _subscription({}, params, far, given))
    kept = {name: params[name] for name in PARAMS[method] if name in params}
    if method == "notifications/progress" and not _is_awaited(context, kept.get("progressToken")):
        return None
    if method == "notifications/cancelled":
        return _cancelled(context, kept)
    screened = screen(context, kept, "tool.result", tool=tool, action=method)
    context.trail.add(tool, screened.text)
    if screened.value is None:
        return None
    return RpcNotification(method, _subscription(screened.value, params, far, given))


def _subscription(value: dict[str, Any], params: dict[str, Any], far: int | None, given: Id | None) -> dict[str, Any]:
    """A subscription is named after the request that opened it, which has another id on our other side."""
    meta = params.get("_meta")
    if far is None or not isinstance(meta, dict) or meta.get(SUBSCRIPTION) != far:
        return {name: item for name, item in value.items() if name != "_meta" or not _names_one(meta)}
    return value | {"_meta": (value.get("_meta") or {}) | {SUBSCRIPTION: given}}


def _names_one(meta: Any) -> bool:
    return isinstance(meta, dict) and SUBSCRIPTION in meta


def _is_awaited(context: McpContext, token: Any) -> bool:
    known = isinstance(token, str | int) and not isinstance(token, bool)
    return known and key_of(token) in context.session.tokens


def _cancelled(context: McpContext, params: dict[str, Any]) -> RpcNotification | None:
    """A server takes back a request of its own."""
    far = params.get("requestId")
    for ours, (known, _) in list(context.session.asked.items()):
        if isinstance(far, str | int) and key_of(known) == key_of(far):
            del context.session.asked[ours]
            return RpcNotification("notifications/cancelled", {"requestId": ours})
    return None


def decide_server_request(context: McpContext, asked: RpcRequest, most: int) -> RpcRequest | RpcResponse:
    """A request of the server as the client gets it, or the answer that the server gets at once."""
    if asked.method == "ping":
        return RpcResponse(asked.id, {})
    allowed = asked.method in context.server.asked and context.session.revision not in STATELESS
    if not allowed:
        why = f"the server may not ask the client for {asked.method[:60]}; client_requests does not allow it"
        context.ruled(context.enforcer.refuse(context.exchange, "retrieval", CLIENT_REQUEST, why))
        return RpcResponse(asked.id, None, RpcFault(DENIED, why).error())
    params = {name: value for name, value in asked.params.items() if name not in ("_meta", "task")}
    screened = screen(context, params, "retrieval", tool=context.server.name, action=asked.method)
    if screened.value is None:
        fault = RpcFault(DENIED, f"the guard denied {asked.method}: {screened.why}")
        return RpcResponse(asked.id, None, fault.error())
    context.trail.add(context.server.name, screened.text)
    ours = context.session.ask_client(asked.id, asked.method, most)
    if ours is None:
        return RpcResponse(asked.id, None, RpcFault(DENIED, "too many requests wait for the client").error())
    return RpcRequest(ours, asked.method, screened.value)
