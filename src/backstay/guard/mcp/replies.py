"""Answers to MCP clients: one JSON object, or a stream of events that ends with it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from backstay.guard.gateway.sse import event_bytes
from backstay.guard.mcp.messages import Id, RpcFault, RpcResponse

Send = Callable[[int, Mapping[str, str], bytes, bool], Awaitable[None]]
STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"}
KEEPALIVE = b": the guard waits for the server\n\n"


class ClientReply:
    """What a client gets for one message; a stream is begun only where a message comes before the last one."""

    def __init__(self, send: Send, *, streams: bool) -> None:
        self._send, self.streams = send, streams
        self.begun = self.ended = False
        self.headers: dict[str, str] = {}

    async def begin(self) -> None:
        """Begin a stream of events."""
        self.begun = True
        await self._send(200, STREAM | self.headers, b"", True)

    async def say(self, body: Mapping[str, Any]) -> None:
        """A message before the last one; dropped for a client that takes no stream."""
        if not self.streams:
            return
        if not self.begun:
            await self.begin()
        await self._send(200, {}, event_bytes(orjson.dumps(body), "message"), True)

    async def alive(self) -> None:
        """A sign of life, for connections that are cut when they are silent."""
        if self.streams:
            if not self.begun:
                await self.begin()
            await self._send(200, {}, KEEPALIVE, True)

    async def end(self, body: Mapping[str, Any] | None, status: int = 200) -> None:
        """The last message, None for none."""
        if self.ended:
            return
        self.ended = True
        if self.begun:
            await self._send(200, {}, b"" if body is None else event_bytes(orjson.dumps(body), "message"), False)
            return
        kind = {} if body is None else {"content-type": "application/json"}
        await self._send(status, kind | self.headers, b"" if body is None else orjson.dumps(body), False)

    async def fail(self, given: Id | None, fault: RpcFault) -> None:
        """An error as the last message."""
        await self.end(RpcResponse(given, None, fault.error()).body(), fault.status)
