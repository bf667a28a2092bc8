"""MCP sessions: our ids towards clients, the server's own behind them, each bound to the principal that opened it."""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from time import monotonic

from backstay.guard.mcp.catalog import Catalog
from backstay.guard.mcp.messages import INVALID_REQUEST, LIMITED, Id, RpcFault, key_of
from backstay.guard.mcp.settings import McpLimits


@dataclass
class McpSession:
    """One client at one server. Ids of requests are ours on both sides, so no one can answer what was not asked."""

    id: str
    principal: str
    server: str
    revision: str
    far_id: str = ""
    """The server's id of the session, which no client sees."""
    catalog: Catalog | None = None
    """The tools as this session was last told of them; None: ask again."""
    running: dict[tuple[bool, Id], int] = field(default_factory=dict)
    """Requests of the client that wait for an answer: its id -> the id that the server was given."""
    tokens: dict[tuple[bool, Id], str] = field(default_factory=dict)
    """Progress tokens of those requests, and what was asked."""
    asked: dict[str, tuple[Id, str]] = field(default_factory=dict)
    """Requests of the server that wait for the client: our id -> the server's, and the method."""
    listening: bool = False
    used_s: float = field(default_factory=monotonic)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def next_id(self) -> int:
        """An id for a request to the server."""
        return next(self._ids)

    @contextmanager
    def waiting(self, given: Id, token: object, what: str, most: int) -> Iterator[int]:
        """The id to ask the server with, while the client waits; raises RpcFault for an id that runs already."""
        key = key_of(given)
        if key in self.running:
            raise RpcFault(INVALID_REQUEST, "a request with this id waits for its answer already", status=400)
        if len(self.running) >= most:
            raise RpcFault(LIMITED, f"{most} requests of this session wait already", status=429)
        token_key = key_of(token) if isinstance(token, str | int) and not isinstance(token, bool) else None
        far = self.running[key] = self.next_id()
        if token_key is not None:
            self.tokens[token_key] = what
        try:
            yield far
        finally:
            del self.running[key]
            if token_key is not None:
                self.tokens.pop(token_key, None)

    def ask_client(self, far: Id, method: str, most: int) -> str | None:
        """Our id for a request of the server; None where the client has too many to answer, or this one already."""
        if len(self.asked) >= most or any(key_of(far) == key_of(known) for known, _ in self.asked.values()):
            return None
        ours = secrets.token_urlsafe(12)
        self.asked[ours] = (far, method)
        return ours


class McpSessions:
    """All sessions, in bounded number; those that nobody uses end."""

    def __init__(self, limits: McpLimits, ended: Callable[[McpSession], None], clock: Callable[[], float] = monotonic):
        self._limits, self._ended, self._clock = limits, ended, clock
        self._open: dict[str, McpSession] = {}
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def room(self, principal: str) -> None:
        """Raises RpcFault 429 where the principal, or everybody, has too many sessions."""
        self._sweep(everything=False)
        if self._of[principal] >= self._limits.sessions or len(self) >= self._limits.all_sessions:
            self._sweep(everything=True)
        if self._of[principal] >= self._limits.sessions:
            raise RpcFault(LIMITED, f"{principal} has {self._limits.sessions} sessions open already", status=429)
        if len(self) >= self._limits.all_sessions:
            raise RpcFault(LIMITED, "too many sessions are open", status=429)

    def open(self, principal: str, server: str, revision: str, far_id: str) -> McpSession:
        """A new session with an id that nobody can guess."""
        return self._add(McpSession(secrets.token_urlsafe(32), principal, server, revision, far_id))

    def get(self, given: str, principal: str, server: str) -> McpSession:
        """The session with this id; raises RpcFault 404, for one of another principal as for one that never was."""
        session = self._open.get(given)
        if session is not None and self._idle(session):
            self.close(session)
            session = None
        if session is None or session.principal != principal or session.server != server:
            raise RpcFault(INVALID_REQUEST, "there is no such session; initialize again", status=404)
        session.used_s = self._clock()
        return session

    def stateless(self, guard_session: str, principal: str, server: str, revision: str) -> McpSession:
        """What is kept between requests of revisions that have no sessions."""
        key = f"\n{server}\n{principal}\n{guard_session}"
        session = self._open.get(key)
        if session is None:
            self.room(principal)
            session = self._add(McpSession(key, principal, server, revision))
        session.used_s = self._clock()
        return session

    def close(self, session: McpSession) -> None:
        """End a session here; `ended` tells its server."""
        if self._open.pop(session.id, None) is not None:
            self._of[session.principal] -= 1
            if not self._of[session.principal]:
                del self._of[session.principal]
            self._ended(session)

    def every(self) -> list[McpSession]:
        """All that are open."""
        return list(self._open.values())

    def _add(self, session: McpSession) -> McpSession:
        session.used_s = self._clock()
        self._open[session.id] = session
        self._of[session.principal] += 1
        return session

    def _idle(self, session: McpSession) -> bool:
        busy = session.listening or session.running
        return not busy and self._clock() - session.used_s >= self._limits.idle_s

    def _sweep(self, *, everything: bool) -> None:
        """End idle sessions: those among the 64 that were opened first, or all."""
        for session in self.every() if everything else [*islice(self._open.values(), 64)]:
            if self._idle(session):
                self.close(session)
