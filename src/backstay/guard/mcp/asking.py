"""Requests to servers: sent once under an id of ours, with what comes before the answer passed on as decided."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

from backstay.guard.gateway.answers import MalformedAnswer
from backstay.guard.gateway.replies import with_keepalive
from backstay.guard.gateway.sse import Event
from backstay.guard.mcp.exchange import McpContext
from backstay.guard.mcp.messages import (
    METHOD_NOT_FOUND,
    Id,
    Message,
    RpcFault,
    RpcNotification,
    RpcRequest,
    RpcResponse,
    key_of,
    read_message,
)
from backstay.guard.mcp.replies import ClientReply
from backstay.guard.mcp.server_messages import decide_notification, decide_server_request
from backstay.guard.mcp.settings import McpLimits
from backstay.guard.mcp.transport import far_session

KEEPALIVE_S = 10.0
MAX_PAGES = 100


class Asked(NamedTuple):
    """A request on its way: as the server gets it, and as the client knows it (None: it is the proxy's own)."""

    request: RpcRequest
    given: Id | None
    tool: str
    schema: Any = None


class Answered(NamedTuple):
    """The server's answer, of which nothing is decided yet, and the id of a session that it opened."""

    response: RpcResponse
    far_id: str


async def ask(context: McpContext, asked: Asked, limits: McpLimits, reply: ClientReply | None) -> Answered:
    """Send a request and wait for its answer; raises MalformedAnswer and all that the transport raises."""
    headers = context.headers(asked.request, asked.schema)
    count = 0
    transport = context.server.transport
    async with transport.send(context.session.far_id, asked.request.body(), headers) as answer:
        batches = with_keepalive(answer.batches(), KEEPALIVE_S if answer.streams and reply else None)
        async with aclosing(_closing(batches)) as open_batches:
            async for batch in open_batches:
                if not batch and reply is not None:
                    await reply.alive()
                for event in batch:
                    count += 1
                    if count > limits.stream_messages:
                        raise MalformedAnswer(f"an answer has more than {limits.stream_messages} messages")
                    message = parsed(event, limits)
                    if isinstance(message, RpcResponse):
                        if _answers(message, asked.request):
                            return Answered(message, far_session(answer))
                        continue
                    await pass_on(context, message, asked, limits, reply)
    raise MalformedAnswer("it ended without an answer")


async def _closing(batches: AsyncIterator[list[Event]]) -> AsyncGenerator[list[Event], None]:
    async for batch in batches:
        yield batch


def parsed(event: Event, limits: McpLimits) -> Message:
    """A server's message; raises MalformedAnswer."""
    try:
        return read_message(event.data, limits.depth)
    except RpcFault as error:
        raise MalformedAnswer(error.message) from error


def _answers(message: RpcResponse, request: RpcRequest) -> bool:
    """An answer to something else is dropped; an error whose id could not be read belongs to the only request."""
    if message.id is None:
        return message.error is not None
    return key_of(message.id) == key_of(request.id)


async def pass_on(
    context: McpContext, message: Message, asked: Asked | None, limits: McpLimits, reply: ClientReply | None
) -> None:
    """Decide on a message that answers nothing, and tell the client, or the server, what follows."""
    tool = asked.tool if asked else context.server.name
    if isinstance(message, RpcNotification):
        far = asked.request.id if asked and isinstance(asked.request.id, int) else None
        told = decide_notification(context, message, far=far, given=asked.given if asked else None, tool=tool)
        await context.on_disk()
        if told is not None and reply is not None:
            await reply.say(told.body())
    elif isinstance(message, RpcRequest):
        if reply is None or not reply.streams:
            fault = RpcFault(METHOD_NOT_FOUND, "there is no client that could answer now")
            await tell(context, RpcResponse(message.id, None, fault.error()))
            return
        answer = decide_server_request(context, message, limits.waiting)
        await context.on_disk()
        if isinstance(answer, RpcRequest):
            await reply.say(answer.body())
        else:
            await tell(context, answer)


async def tell(context: McpContext, message: RpcResponse | RpcNotification) -> None:
    """Send a message that has no answer."""
    async with context.server.transport.send(context.session.far_id, message.body(), context.headers()) as answer:
        async with asyncio.timeout(context.server.settings.first_byte_s):
            async for _ in answer.batches():
                break


async def list_tools(
    context: McpContext, meta: Any, limits: McpLimits, next_id: Callable[[], int]
) -> list[dict[str, Any]]:
    """All tools of a server, page after page; raises RpcFault with the server's error, MalformedAnswer."""
    tools: list[Any] = []
    cursor: Any = None
    for _ in range(MAX_PAGES):
        params = ({"cursor": cursor} if cursor is not None else {}) | ({"_meta": meta} if meta else {})
        request = RpcRequest(next_id(), "tools/list", params)
        answered = await ask(context, Asked(request, None, context.server.name), limits, None)
        result = answered.response.result
        if result is None:
            error = answered.response.error or {}
            raise ServerError(error)
        page = result.get("tools")
        if not isinstance(page, list):
            raise MalformedAnswer("tools are no list")
        tools += page
        if len(tools) > limits.tools:
            raise MalformedAnswer(f"it has more than {limits.tools} tools")
        cursor = result.get("nextCursor")
        if cursor is None:
            return tools
        if not isinstance(cursor, str):
            raise MalformedAnswer("the cursor of its tools is no text")
    raise MalformedAnswer(f"its tools have more than {MAX_PAGES} pages")


class ServerError(Exception):
    """A server answered with an error, of which nothing is decided yet."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__("the server answered with an error")
        self.error = error
