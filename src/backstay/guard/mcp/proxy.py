"""The MCP proxy: what happens to one message of a client, and to what servers say to it."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from backstay.guard.argument_check import SchemaCheck
from backstay.guard.enforcer import Exchange
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.keys import Principal
from backstay.guard.gateway.outcome import Outcome
from backstay.guard.gateway.replies import with_keepalive
from backstay.guard.gateway.requests import ModelRequest
from backstay.guard.gateway.service import Gateway
from backstay.guard.mcp.asking import KEEPALIVE_S, Asked, ServerError, ask, parsed, pass_on, tell
from backstay.guard.mcp.carrying import carry_out, decided
from backstay.guard.mcp.catalog import ToolJudge
from backstay.guard.mcp.client_messages import answer_of, notification_of
from backstay.guard.mcp.exchange import ArgumentCheck, McpContext, McpServer
from backstay.guard.mcp.faults import Stops, told_fault
from backstay.guard.mcp.headers import check_stateless
from backstay.guard.mcp.messages import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Id,
    RpcFault,
    RpcNotification,
    RpcRequest,
    RpcResponse,
    read_message,
)
from backstay.guard.mcp.methods import HANDSHAKE, STATELESS, passed_params
from backstay.guard.mcp.pins import Pins
from backstay.guard.mcp.replies import ClientReply
from backstay.guard.mcp.results import decide_error
from backstay.guard.mcp.sessions import McpSession, McpSessions
from backstay.guard.mcp.settings import McpLimits, McpServerSettings
from backstay.guard.mcp.stdio import StdioTransport
from backstay.guard.mcp.trail import Trails
from backstay.guard.mcp.transport import HttpTransport, SessionGone, Transport
from backstay.records import uuid7

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Visitor:
    """Who sends a message: the key's principal, and the session of the guard that the client names."""

    principal: Principal
    named: str
    wait_s: float = 0.0
    """How long the client waits for an approval."""

    @property
    def guard_session(self) -> str:
        """The session under which policies count, as for requests to models."""
        own = bool(self.principal.key and self.principal.key.sessions and self.named)
        return f"{self.principal.id}/{self.named}" if own else self.principal.id


@dataclass
class McpProxy:
    """All configured servers; use as an asynchronous context."""

    gateway: Gateway
    settings: Mapping[str, McpServerSettings]
    limits: McpLimits
    pins: Pins
    environment: Mapping[str, str]
    check: ArgumentCheck | None = field(default_factory=SchemaCheck)
    _servers: dict[str, McpServer] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _endings: set[asyncio.Task[None]] = field(default_factory=set)
    _streams: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sessions = McpSessions(self.limits, self._session_ended)
        self.trails = Trails(self.limits.trail_chars, self.limits.idle_s, self.limits.all_sessions)

    async def __aenter__(self) -> Self:
        """Open the ways to all servers; raises UsageError for a variable that is not set."""
        for name, one in self.settings.items():
            kind = HttpTransport if one.url else StdioTransport
            transport: Transport = kind(name, one, self.limits, self.environment)
            await self._stack.enter_async_context(transport)
            judge = ToolJudge(name, one, self.pins, self.gateway.decided)
            self._servers[name] = McpServer(name, one, transport, judge)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all sessions."""
        for session in self.sessions.every():
            self.sessions.close(session)
        if self._endings:
            await asyncio.wait(self._endings, timeout=5)
        await self._stack.aclose()

    async def post(self, name: str, headers: Headers, raw: bytes, visitor: Visitor, reply: ClientReply) -> None:
        """One message of a client, answered through `reply`; raises ApiFault 401, 403 and 404 only."""
        server = self._server(name, visitor.principal)
        outcome = Outcome("mcp", name)
        exchange = self._exchange(server, visitor)
        given: Id | None = None
        try:
            with self.gateway.limits.admitted(visitor.principal):
                message = read_message(raw, self.limits.depth)
                if isinstance(message, RpcRequest):
                    given = message.id
                    await self._request(server, exchange, headers, message, visitor, reply)
                else:
                    await self._told(server, exchange, headers, message, visitor)
                    await reply.end(None, 202)
        except asyncio.CancelledError:
            outcome.status = "client_gone"
            raise
        except Stops as error:
            fault, outcome.status = told_fault(error)
            outcome.effect = "hold" if outcome.status == "held" else "deny"
            await reply.fail(given, fault)
        except BaseException:
            outcome.status = "crashed"
            raise
        finally:
            self.gateway.outcomes.outcome(exchange, outcome)

    async def get(self, name: str, headers: Headers, visitor: Visitor, reply: ClientReply) -> None:
        """What a server says without being asked, until it or the client ends it; not offered anew from an event id."""
        server = self._server(name, visitor.principal)
        try:
            if "last-event-id" in headers:
                raise RpcFault(INVALID_REQUEST, "streams are not resumed here; send the request again", status=400)
            session = self._known_session(server, headers, visitor)
            if session.listening:
                raise RpcFault(INVALID_REQUEST, "this session has a stream already", status=409)
            session.listening = True
            stream = asyncio.ensure_future(self._listen(server, session, visitor, reply))
            self._streams.add(stream)
            try:
                await asyncio.wait([stream])
                if not stream.cancelled():
                    stream.result()
                await reply.end(None)
            finally:
                stream.cancel()
                self._streams.discard(stream)
                session.listening = False
        except Stops as error:
            fault, _ = told_fault(error)
            await (reply.end(None) if reply.begun else reply.fail(None, fault))

    def end_streams(self) -> None:
        """End the streams that clients keep open, when the gateway is told to stop; answers go on."""
        for stream in self._streams:
            stream.cancel()

    async def delete(self, name: str, headers: Headers, visitor: Visitor, reply: ClientReply) -> None:
        """End a session."""
        server = self._server(name, visitor.principal)
        try:
            self.sessions.close(self._known_session(server, headers, visitor))
        except RpcFault as fault:
            await reply.fail(None, fault)
            return
        await reply.end(None, 204)

    def _server(self, name: str, principal: Principal) -> McpServer:
        if not principal.may_use("mcp"):
            raise ApiFault(403, "denied", f"the key {principal.id} is not for MCP servers")
        server = self._servers.get(name)
        if server is None:
            raise ApiFault(404, "not_found", "no MCP server of this name is configured")
        return server

    def _exchange(self, server: McpServer, visitor: Visitor) -> Exchange:
        who = visitor.principal
        return Exchange(uuid7(), who.id, visitor.guard_session, who.roles, who.attributes or {}, server.name, who.owner)

    def _context(self, server: McpServer, exchange: Exchange, session: McpSession, visitor: Visitor) -> McpContext:
        gateway = self.gateway
        return McpContext(
            exchange=exchange,
            request=ModelRequest("mcp", {}, server.name, False, 1, []),
            settings=gateway.settings,
            enforcer=gateway.enforcer,
            scans=gateway.scans,
            kinds=gateway.kinds,
            holds=gateway.holds,
            limits=gateway.limits,
            principal=visitor.principal,
            request_digest="",
            wait_s=visitor.wait_s,
            tools=gateway.tools,
            trail=self.trails.of(visitor.guard_session),
            server=server,
            session=session,
        )

    def _known_session(self, server: McpServer, headers: Headers, visitor: Visitor) -> McpSession:
        given = headers.get("mcp-session-id", "")
        if not given:
            raise RpcFault(INVALID_REQUEST, "Mcp-Session-Id is missing; initialize first", status=400)
        session = self.sessions.get(given, visitor.principal.id, server.name)
        version = headers.get("mcp-protocol-version", session.revision)
        if version != session.revision:
            raise RpcFault(INVALID_REQUEST, f"this session speaks revision {session.revision}", status=400)
        return session

    def _session_of(
        self, server: McpServer, headers: Headers, message: RpcRequest | RpcNotification | RpcResponse, visitor: Visitor
    ) -> McpSession:
        """The session that a message belongs to, or what is kept for a message that stands for itself."""
        stateless = headers.get("mcp-protocol-version", "") not in ("", *HANDSHAKE)
        if not stateless and not (isinstance(message, RpcRequest) and message.method == "server/discover"):
            return self._known_session(server, headers, visitor)
        revision = check_stateless(message, headers) if isinstance(message, RpcRequest) else STATELESS[-1]
        return self.sessions.stateless(visitor.guard_session, visitor.principal.id, server.name, revision)

    async def _request(
        self,
        server: McpServer,
        exchange: Exchange,
        headers: Headers,
        asked: RpcRequest,
        visitor: Visitor,
        reply: ClientReply,
    ) -> None:
        if asked.method == "initialize":
            await self._initialize(server, exchange, headers, asked, visitor, reply)
            return
        session = self._session_of(server, headers, asked, visitor)
        context = self._context(server, exchange, session, visitor)
        reply.headers["x-backstay-exchange"] = exchange.id
        params = passed_params(asked.method, asked.params, server.asked)
        token = params.get("_meta", {}).get("progressToken")
        try:
            with session.waiting(asked.id, token, asked.method, self.limits.waiting) as far:
                body = await carry_out(context, asked, params, far, reply, self.limits, self.check)
        except SessionGone:
            self.sessions.close(session)
            raise
        except ServerError as error:
            body = RpcResponse(asked.id, None, decide_error(context, error.error, "retrieval", server.name))
        await context.on_disk()
        await reply.end(body.body(), _status(session, body))

    async def _initialize(
        self,
        server: McpServer,
        exchange: Exchange,
        headers: Headers,
        asked: RpcRequest,
        visitor: Visitor,
        reply: ClientReply,
    ) -> None:
        if "mcp-session-id" in headers:
            raise RpcFault(INVALID_REQUEST, "a session cannot be initialized twice", status=400)
        self.sessions.room(visitor.principal.id)
        params = passed_params(asked.method, asked.params, server.asked)
        if params.get("protocolVersion") not in HANDSHAKE:
            params["protocolVersion"] = HANDSHAKE[-1]
        opening = McpSession("", visitor.principal.id, server.name, "")
        context = self._context(server, exchange, opening, visitor)
        sent = Asked(RpcRequest(opening.next_id(), asked.method, params), asked.id, server.name)
        answered = await ask(context, sent, self.limits, None)
        session: McpSession | None = None
        try:
            body = decided(context, asked, answered.response)
            await context.on_disk()
            if body.result is not None:
                self.sessions.room(visitor.principal.id)
                revision = body.result["protocolVersion"]
                session = self.sessions.open(visitor.principal.id, server.name, revision, answered.far_id)
                reply.headers["mcp-session-id"] = session.id
        finally:
            if session is None and answered.far_id:
                await server.transport.end(answered.far_id, {})
        await reply.end(body.body())

    async def _told(
        self,
        server: McpServer,
        exchange: Exchange,
        headers: Headers,
        message: RpcNotification | RpcResponse,
        visitor: Visitor,
    ) -> None:
        """A notification of the client, or its answer to a request of the server."""
        session = self._session_of(server, headers, message, visitor)
        context = self._context(server, exchange, session, visitor)
        passed: RpcNotification | RpcResponse
        if isinstance(message, RpcResponse):
            passed = answer_of(context, message)
        else:
            found = notification_of(session, message)
            if found is None:
                return
            passed = found
        await context.on_disk()
        await tell(context, passed)

    async def _listen(self, server: McpServer, session: McpSession, visitor: Visitor, reply: ClientReply) -> None:
        context = self._context(server, self._exchange(server, visitor), session, visitor)
        async with server.transport.listen(session.far_id, context.headers()) as answer:
            await reply.begin()
            async for batch in with_keepalive(answer.batches(), KEEPALIVE_S):
                if not batch:
                    await reply.alive()
                for event in batch:
                    message = parsed(event, self.limits)
                    context = self._context(server, self._exchange(server, visitor), session, visitor)
                    if not isinstance(message, RpcResponse):
                        await pass_on(context, message, None, self.limits, reply)

    def _session_ended(self, session: McpSession) -> None:
        """Tell the server, without waiting for it."""
        if not session.far_id:
            return
        transport = self._servers[session.server].transport
        task = asyncio.ensure_future(
            transport.end(session.far_id, {"mcp-protocol-version": session.revision} if session.revision else {})
        )
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


def _status(session: McpSession, body: RpcResponse) -> int:
    """The stateless revisions tell some errors by the status of HTTP as well."""
    if body.error is None or session.revision not in STATELESS:
        return 200
    return 404 if body.error["code"] == METHOD_NOT_FOUND else 200
