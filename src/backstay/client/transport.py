"""Requests over one connection: bounded in time, sent again only where that cannot do a thing twice."""

import contextlib
import http.client
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlencode, urlsplit

from backstay.client.errors import ConsoleUnreachable, error_of
from backstay.errors import UsageError

AGAIN = (502, 503, 504)
MOST_WAIT_S = 60.0
MAX_ANSWER_BYTES = 64 * 2**20
BLOCK = 2**18
Query = Mapping[str, str | int | bool | float | None]
Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Call:
    """A request. One that is `repeatable` may be sent again: reading, or writing under an Idempotency-Key."""

    method: str
    path: str
    body: bytes | BinaryIO | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False


class Transport:
    """A connection to a console; not for use by several threads at once."""

    def __init__(
        self, address: str, token: str, *, timeout_s: float, attempts: int, sleep: Sleep, trust: ssl.SSLContext | None
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise UsageError(
                f"{address!r} is no address of a console", cure="give one such as https://rate.example.org"
            )
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise UsageError(f"{address!r} would send the token unencrypted", cure="use https")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._prefix, self._token = parts.path.rstrip("/"), token
        self._timeout_s, self._attempts, self._sleep, self._trust = timeout_s, attempts, sleep, trust
        self._connection: http.client.HTTPConnection | None = None

    def json(self, call: Call) -> Any:
        """The JSON of an answer, None where it has no body; raises what `errors` lists."""
        with self.answer(call) as answer:
            body = answer.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise ConsoleUnreachable(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        return _json(body) if body else None

    @contextlib.contextmanager
    def answer(self, call: Call) -> Iterator[http.client.HTTPResponse]:
        """An answer that is no error, to be read within the block."""
        answer = self._answered(call)
        try:
            yield answer
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConsoleUnreachable(f"the answer broke off: {error or type(error).__name__}") from error
        finally:
            if not answer.isclosed():
                self.close()  # The rest of an answer would be taken for the next one.

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answered(self, call: Call) -> http.client.HTTPResponse:
        attempt = 0
        while True:
            attempt += 1
            last = attempt >= self._attempts
            try:
                answer = self._send(call)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last or not call.repeatable:
                    said = str(error) or type(error).__name__
                    raise ConsoleUnreachable(f"{call.method} {call.path}: {said}", cure="check the address") from error
                self._sleep(_pause_s(attempt))
                continue
            if answer.status < 300:
                return answer
            wait_s = self._refused(answer, call, last=last)
            self._sleep(_pause_s(attempt) if wait_s is None else wait_s)

    def _refused(self, answer: http.client.HTTPResponse, call: Call, *, last: bool) -> float | None:
        """Raise what the answer says, or return how long to wait before the next attempt."""
        body = answer.read(MAX_ANSWER_BYTES)
        after = answer.headers.get("retry-after", "")
        wait_s = float(after) if after.isascii() and after.isdigit() else None
        # 429 is told before anything is done, so that even what is not repeatable can be sent again.
        may = (answer.status == 429 and not hasattr(call.body, "read")) or (answer.status in AGAIN and call.repeatable)
        if last or not may or (wait_s or 0) > MOST_WAIT_S:
            raise error_of(answer.status, _json(body, None), wait_s)
        return wait_s

    def _send(self, call: Call) -> http.client.HTTPResponse:
        if not call.repeatable:
            self.close()  # A kept connection may be dead, and whether a request on it arrived could not be told.
        if self._connection is None:
            self._connection = self._open()
        headers = {"accept": "application/json", "user-agent": "backstay-client/1", **dict(call.headers)}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        self._connection.request(call.method, self._prefix + call.path, call.body, headers)
        return self._connection.getresponse()

    def _open(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        trust = self._trust or ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=trust)


def get(path: str, query: Query | None = None) -> Call:
    """A request that reads."""
    return Call("GET", path + _query(query), repeatable=True)


def send(method: str, path: str, value: Any = None, *, key: str = "", repeatable: bool = False) -> Call:
    """A request that writes JSON; with a key it is stored once however often it is sent."""
    headers = {"content-type": "application/json"} if value is not None else {}
    if key:
        headers["idempotency-key"] = key
    body = None if value is None else json.dumps(value).encode()
    return Call(method, path, body, headers, repeatable or bool(key))


def upload(path: str, query: Query, file: BinaryIO) -> Call:
    """A request whose body is a file, read while it is sent."""
    return Call("POST", path + _query(query), file, {"content-type": "application/octet-stream"})


def _query(query: Query | None) -> str:
    said = {name: value for name, value in (query or {}).items() if value is not None}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in said.items()}
    return f"?{urlencode(texts)}" if texts else ""


def _json(body: bytes, *otherwise: Any) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        if otherwise:
            return otherwise[0]
        raise ConsoleUnreachable("the answer is not JSON", cure="check the address") from error


def _pause_s(attempt: int) -> float:
    return min(0.25 * 2.0 ** (attempt - 1), 8.0)


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
