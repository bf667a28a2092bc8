"""Streamable HTTP towards MCP servers: one request, one answer, whole or as events; nothing is sent twice."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
import orjson

from backstay.errors import UsageError
from backstay.guard.gateway.answers import MalformedAnswer
from backstay.guard.gateway.settings import UpstreamSettings
from backstay.guard.gateway.sse import Event
from backstay.guard.gateway.upstream import Answer
from backstay.guard.mcp.messages import METHOD_NOT_FOUND, UPSTREAM, RpcFault
from backstay.guard.mcp.settings import McpLimits, McpServerSettings

OK, ACCEPTED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 200, 202, 401, 403, 404, 405
MAX_SESSION_ID = 1000
LISTEN_S = 86_400.0


class SessionGone(Exception):
    """The server does not know its session any more."""


class FarAnswer(Protocol):
    """What a server answers."""

    far_id: str
    """The id of a session that it opened, "" for none."""
    streams: bool

    def batches(self) -> AsyncIterator[list[Event]]:
        """Messages as they come; raises MalformedAnswer, MalformedStream, BrokenOff, ApiFault."""


class Transport(Protocol):
    """A way to one server."""

    def send(
        self, far_id: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[FarAnswer]:
        """Send a message; raises RpcFault, SessionGone."""

    def listen(self, far_id: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[FarAnswer]:
        """Messages that answer nothing; raises as `send` does."""

    async def end(self, far_id: str, headers: Mapping[str, str]) -> None:
        """End a session; never raises, since it is over here."""

    async def __aenter__(self) -> Self:
        """Open what is needed."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""


class _HttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse, limits: McpLimits, idle_s: float) -> None:
        settings = UpstreamSettings(base_url="http://mcp", idle_s=idle_s)
        self._answer = Answer(response, settings, limits.message_bytes, limits.message_bytes)
        self._empty = response.status == ACCEPTED
        self.far_id = response.headers.get("mcp-session-id", "")
        self.streams = self._answer.streams
        self.is_json = self._answer.is_json

    async def batches(self) -> AsyncIterator[list[Event]]:
        if self._empty:
            return
        if self.streams:
            async for batch in self._answer.events():
                yield [event for event in batch if event.data]
        elif self.is_json:
            yield [Event("", await self._answer.whole())]
        else:
            raise MalformedAnswer("the server's answer is neither JSON nor an event stream")


class HttpTransport:
    """A server that is reached by its address."""

    def __init__(
        self, name: str, settings: McpServerSettings, limits: McpLimits, environment: Mapping[str, str]
    ) -> None:
        self._name, self._settings, self._limits = name, settings, limits
        self._headers = {header: _value(name, variable, environment) for header, variable in settings.headers.items()}
        self._open: list[aiohttp.ClientSession] = []

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.connections, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._open.append(session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        while self._open:
            await self._open.pop().close()

    @asynccontextmanager
    async def send(self, far_id: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncIterator[FarAnswer]:
        """See Transport."""
        response = await self._asked("POST", far_id, orjson.dumps(body), headers)
        async with response:
            answer = _HttpAnswer(response, self._limits, self._settings.idle_s)
            if response.status not in (OK, ACCEPTED) and not (answer.is_json and self._tells(response.status, far_id)):
                raise self._refused(response.status, far_id)
            yield answer

    @asynccontextmanager
    async def listen(self, far_id: str, headers: Mapping[str, str]) -> AsyncIterator[FarAnswer]:
        """See Transport."""
        response = await self._asked("GET", far_id, None, headers)
        async with response:
            answer = _HttpAnswer(response, self._limits, LISTEN_S)
            if response.status != OK or not answer.streams:
                raise self._refused(response.status, far_id)
            yield answer

    async def end(self, far_id: str, headers: Mapping[str, str]) -> None:
        """See Transport."""
        try:
            response = await self._asked("DELETE", far_id, None, headers)
        except RpcFault:
            return
        response.close()

    async def _asked(
        self, method: str, far_id: str, data: bytes | None, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        accept = "text/event-stream" if method == "GET" else "application/json, text/event-stream"
        given = self._headers | dict(headers) | {"accept": accept}
        if data is not None:
            given["content-type"] = "application/json"
        if far_id:
            given["mcp-session-id"] = far_id
        try:
            async with asyncio.timeout(self._settings.first_byte_s):
                return await self._open[0].request(
                    method, self._settings.url, data=data and BytesIO(data), headers=given, allow_redirects=False
                )
        except TimeoutError as error:
            raise RpcFault(UPSTREAM, f"{self._name} did not begin to answer in time", status=504) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise RpcFault(UPSTREAM, f"{self._name} cannot be reached ({type(error).__name__})", status=502) from error

    def _tells(self, status: int, far_id: str) -> bool:
        """Whether the body of an answer with such a status is a JSON-RPC error that the client should see."""
        own = status in (UNAUTHORIZED, FORBIDDEN) or (status == NOT_FOUND and bool(far_id))
        return 400 <= status < 500 and not own

    def _refused(self, status: int, far_id: str) -> RpcFault | SessionGone:
        if status == NOT_FOUND and far_id:
            return SessionGone()
        if status in (UNAUTHORIZED, FORBIDDEN):
            return RpcFault(
                UPSTREAM, f"{self._name} refuses the gateway ({status}); see its headers in guard.yaml", status=502
            )
        if status == NOT_ALLOWED:
            return RpcFault(METHOD_NOT_FOUND, f"{self._name} does not offer this", status=405)
        if 300 <= status < 400:
            return RpcFault(UPSTREAM, f"{self._name} points elsewhere ({status}), which is not followed", status=502)
        return RpcFault(UPSTREAM, f"{self._name} answered with status {status}", status=502)


def far_session(answer: FarAnswer) -> str:
    """The id of the session that a server opened; raises MalformedAnswer for one that is none."""
    given = answer.far_id
    if len(given) > MAX_SESSION_ID or not all("!" <= char <= "~" for char in given):
        raise MalformedAnswer("the id of its session is not plain text")
    return given


def _value(name: str, variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable, "")
    if not value or not value.isprintable():
        raise UsageError(f"mcp {name}: the variable {variable} is not set", cure="export it before `guard serve`")
    return value
