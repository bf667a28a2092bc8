"""Who is signed in: sessions in memory, by the hash of a random cookie, with an idle and an absolute end."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backstay.guard.approvals import Identity

IDLE_S = 1800.0
ABSOLUTE_S = 28_800.0
MOST_OF_ONE = 5
"""Sessions of one person; the oldest makes way."""


@dataclass(slots=True)
class Session:
    """One browser in which one person is signed in."""

    identity: Identity
    token_sha256: str
    """Of the approver's token at sign-in: where the file holds another one now, the session is over."""

    begun_s: float
    seen_s: float
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    notice: str = ""
    """Told once, on the next page."""

    def form_token(self, *bound: str) -> str:
        """What a form must bring back: it holds for this session and for what the form was about."""
        message = "\0".join((str(len(bound)), *bound)).encode("utf-8", "replace")
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()

    def is_ours(self, given: str, *bound: str) -> bool:
        """Whether a form came from a page of this session, about exactly this."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.form_token(*bound).encode())


class Sessions:
    """Sessions by the SHA-256 of their cookie: from what is kept nobody can make a cookie."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._open: dict[str, Session] = {}

    def begin(self, identity: Identity, token_sha256: str, replaces: str = "") -> str:
        """Sign in; the cookie, of 256 random bits and never one that the browser brought."""
        now_s, cookie = self._clock(), secrets.token_urlsafe(32)
        with self._lock:
            self._open.pop(_key(replaces), None)
            self._open = {key: session for key, session in self._open.items() if not _is_over(session, now_s)}
            own = [key for key, session in self._open.items() if session.identity.id == identity.id]
            for key in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
                del self._open[key]
            self._open[_key(cookie)] = Session(identity, token_sha256, now_s, now_s)
        return cookie

    def find(self, cookie: str, *, touch: bool = True) -> Session | None:
        """The session of a cookie, or None once it is over. Without `touch` it does not count as use."""
        now_s = self._clock()
        with self._lock:
            session = self._open.get(_key(cookie))
            if session is None:
                return None
            if _is_over(session, now_s):
                del self._open[_key(cookie)]
                return None
            if touch:
                session.seen_s = now_s
            return session

    def end(self, cookie: str) -> None:
        """Sign out."""
        with self._lock:
            self._open.pop(_key(cookie), None)


def _is_over(session: Session, now_s: float) -> bool:
    return now_s - session.seen_s >= IDLE_S or now_s - session.begun_s >= ABSOLUTE_S


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
