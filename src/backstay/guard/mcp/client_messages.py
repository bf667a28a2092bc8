"""What clients say to servers beside tool calls: it passes unchanged or not at all, and only where it is expected."""

from typing import Any

from backstay.guard.mcp.exchange import McpContext
from backstay.guard.mcp.messages import (
    DENIED,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    RpcFault,
    RpcNotification,
    RpcResponse,
    key_of,
)
from backstay.guard.mcp.methods import ASKING, CLIENT_NOTIFICATIONS, INPUT_PARAMS, STATELESS
from backstay.guard.mcp.screening import screen
from backstay.guard.mcp.sessions import McpSession


def decide_words(context: McpContext, method: str, params: dict[str, Any]) -> None:
    """Words of the model, or of the user, in parameters; raises RpcFault where they are denied or would be redacted."""
    if method in ASKING:
        words = {name: value for name, value in params.items() if name != "_meta" and name not in INPUT_PARAMS}
        _decide(context, words, "retrieval", method)
    answers = {name: value for name, value in params.items() if name in INPUT_PARAMS}
    if answers:
        _decide(context, answers, "model.output", method)


def _decide(context: McpContext, words: dict[str, Any], point: str, method: str) -> None:
    screened = screen(context, words, point, tool=context.server.name, action=method, args=words)
    if screened.value != words:
        facts = {"code": "denied", "decision": screened.ruling.id, "rules": list(screened.ruling.decision.rules)}
        why = screened.why or "it holds what would have to be redacted"
        raise RpcFault(DENIED, f"{method} was denied: {why}", data=facts)


def answer_of(context: McpContext, message: RpcResponse) -> RpcResponse:
    """The client's answer to a request that the server made, as the server gets it; raises RpcFault for any other."""
    known = context.session.asked.pop(message.id, None) if isinstance(message.id, str) else None
    if known is None:
        raise RpcFault(INVALID_REQUEST, "nothing was asked under this id", status=400)
    far, method = known
    value = message.result if message.result is not None else {"error": message.error}
    screened = screen(context, value, "model.output", tool=context.server.name, action=method)
    if screened.value is None:
        return RpcResponse(far, None, RpcFault(DENIED, f"the guard denied the answer: {screened.why}").error())
    if message.result is None:
        return RpcResponse(far, None, screened.value["error"])
    return RpcResponse(far, screened.value)


def notification_of(session: McpSession, message: RpcNotification) -> RpcNotification | None:
    """A notification as the server gets it, None where it gets none; raises RpcFault for an unknown one."""
    if message.method not in CLIENT_NOTIFICATIONS:
        raise RpcFault(METHOD_NOT_FOUND, f"{message.method} is not offered here", status=400)
    if session.revision in STATELESS or message.method == "notifications/progress":
        return None
    if message.method != "notifications/cancelled":
        return RpcNotification(message.method, {})
    given = message.params.get("requestId")
    if not isinstance(given, str | int) or isinstance(given, bool):
        return None
    far = session.running.get(key_of(given))
    return None if far is None else RpcNotification(message.method, {"requestId": far})
