"""MCP servers that the gateway starts: a process for each session, without a shell, told nothing but what is named.

Messages are lines of JSON on its standard input and output. What it writes to standard error is dropped.
"""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import orjson

from backstay.errors import UsageError
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.sse import Event
from backstay.guard.gateway.upstream import BrokenOff
from backstay.guard.mcp.messages import (
    METHOD_NOT_FOUND,
    UPSTREAM,
    Id,
    RpcFault,
    RpcNotification,
    RpcResponse,
    key_of,
    read_message,
)
from backstay.guard.mcp.settings import McpLimits, McpServerSettings
from backstay.guard.mcp.transport import FarAnswer, SessionGone

QUEUED = 1000
GRACE_S = 2.0
Line = bytes | None


class _Mailbox:
    """Lines for one request, or for the stream beside all requests; `None` ends it."""

    def __init__(self, far_id: str, idle_s: float | None, *, expects: bool) -> None:
        self.far_id, self.streams = far_id, True
        self._idle_s, self._expects = idle_s, expects
        self.lines: asyncio.Queue[Line] = asyncio.Queue(QUEUED)

    async def batches(self) -> AsyncIterator[list[Event]]:
        while self._expects:
            try:
                async with asyncio.timeout(self._idle_s):
                    line = await self.lines.get()
            except TimeoutError as error:
                raise ApiFault(504, "upstream_slow", f"the server was silent for {self._idle_s:g} s") from error
            if line is None:
                raise BrokenOff("the program ended")
            yield [Event("", line)]


class _Program:
    """One running server."""

    def __init__(self, far_id: str, process: asyncio.subprocess.Process, limits: McpLimits) -> None:
        self.far_id, self._process, self._limits = far_id, process, limits
        self.waiting: dict[tuple[bool, Id], _Mailbox] = {}
        self.tokens: dict[tuple[bool, Id], tuple[bool, Id]] = {}
        self.listener: _Mailbox | None = None
        self._writing = asyncio.Lock()
        self._reader = asyncio.ensure_future(self._read())

    @property
    def ended(self) -> bool:
        """Whether nothing more will come from it."""
        return self._reader.done()

    async def write(self, body: Mapping[str, Any]) -> None:
        """Send a message; raises SessionGone where the program has ended."""
        stdin = self._process.stdin
        if stdin is None or self.ended:
            raise SessionGone
        try:
            async with self._writing:
                stdin.write(orjson.dumps(body) + b"\n")
                await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SessionGone from error

    async def end(self) -> None:
        """Close its input, then ask it to end, then end it and all that it started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(GRACE_S if number == signal.SIGTERM else GRACE_S / 2):
                    await self._process.wait()
                break
            except TimeoutError:
                self._signal(number)
        await self._process.wait()
        self._signal(signal.SIGKILL)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group, which it leads."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        """Lines until one is too long, none, or no message; then everybody who waits is told that it ended."""
        stdout = self._process.stdout
        try:
            while stdout is not None and (line := await stdout.readline()):
                if line.strip():
                    self._sort(line)
        except (ValueError, RpcFault, asyncio.QueueFull):
            self._signal(signal.SIGTERM)
        finally:
            for mailbox in [*self.waiting.values(), *([self.listener] if self.listener else [])]:
                with contextlib.suppress(asyncio.QueueFull):
                    mailbox.lines.put_nowait(None)

    def _sort(self, line: bytes) -> None:
        """An answer to who asked; progress to who awaits it; the rest to the stream beside, or to who asked last."""
        message = read_message(line, self._limits.depth)
        mailbox: _Mailbox | None = None
        if isinstance(message, RpcResponse):
            mailbox = self.waiting.get(key_of(message.id)) if message.id is not None else None
        else:
            token = message.params.get("progressToken") if isinstance(message, RpcNotification) else None
            if isinstance(token, str | int) and not isinstance(token, bool):
                mailbox = self.waiting.get(self.tokens.get(key_of(token), (False, 0)))
            mailbox = mailbox or self.listener or next(reversed(self.waiting.values()), None)
        if mailbox is not None:
            mailbox.lines.put_nowait(line)


class StdioTransport:
    """A server that is started by a command."""

    def __init__(
        self, name: str, settings: McpServerSettings, limits: McpLimits, environment: Mapping[str, str]
    ) -> None:
        self._name, self._settings, self._limits = name, settings, limits
        missing = [variable for variable in settings.environment if variable not in environment]
        if missing:
            raise UsageError(f"mcp {name}: the variable {missing[0]} is not set", cure="export it before `guard serve`")
        known = {variable: environment[variable] for variable in settings.environment}
        self._environment = {"PATH": environment.get("PATH", os.defpath)} | known
        self._programs: dict[str, _Program] = {}

    async def __aenter__(self) -> Self:
        """Nothing is started before a session is."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every program."""
        await asyncio.gather(*(self.end(far_id, {}) for far_id in list(self._programs)))

    @asynccontextmanager
    async def send(self, far_id: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncIterator[FarAnswer]:  # noqa: ARG002  the protocol's; a program has no headers
        """See Transport; `initialize` starts the program."""
        opening = not far_id and body.get("method") == "initialize"
        program = await self._started() if opening else self._known(far_id)
        try:
            async with self._posted(program, body) as mailbox:
                yield mailbox
        except BaseException:
            if opening:
                await self.end(program.far_id, {})
            raise

    @asynccontextmanager
    async def listen(self, far_id: str, headers: Mapping[str, str]) -> AsyncIterator[FarAnswer]:  # noqa: ARG002  as above
        """See Transport."""
        program = self._known(far_id)
        program.listener = _Mailbox("", None, expects=True)
        try:
            yield program.listener
        finally:
            program.listener = None

    async def end(self, far_id: str, headers: Mapping[str, str]) -> None:  # noqa: ARG002  as above
        """See Transport."""
        program = self._programs.pop(far_id, None)
        if program is not None:
            await program.end()

    @asynccontextmanager
    async def _posted(self, program: _Program, body: Mapping[str, Any]) -> AsyncIterator[_Mailbox]:
        given = body.get("id") if "method" in body else None
        mailbox = _Mailbox(program.far_id, self._settings.idle_s, expects=given is not None)
        token = ((body.get("params") or {}).get("_meta") or {}).get("progressToken")
        token_key = key_of(token) if isinstance(token, str | int) and not isinstance(token, bool) else None
        if given is not None:
            program.waiting[key_of(given)] = mailbox
            if token_key is not None:
                program.tokens[token_key] = key_of(given)
        try:
            async with asyncio.timeout(self._settings.first_byte_s):
                await program.write(body)
            yield mailbox
        finally:
            if given is not None:
                program.waiting.pop(key_of(given), None)
            if token_key is not None:
                program.tokens.pop(token_key, None)

    def _known(self, far_id: str) -> _Program:
        if not far_id:
            raise RpcFault(METHOD_NOT_FOUND, f"{self._name} speaks within sessions only; initialize first", status=400)
        program = self._programs.get(far_id)
        if program is None or program.ended:
            raise SessionGone
        return program

    async def _started(self) -> _Program:
        far_id = secrets.token_urlsafe(16)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._settings.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environment,
                limit=self._limits.message_bytes,
                start_new_session=True,
            )
        except OSError as error:
            raise RpcFault(UPSTREAM, f"{self._name} cannot be started: {error.strerror}", status=502) from error
        program = self._programs[far_id] = _Program(far_id, process, self._limits)
        return program
