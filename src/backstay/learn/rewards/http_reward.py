"""A reward behind HTTP: a client that trusts nothing of what comes back.

POST {"prompts": [...], "responses": [...], "finished": [...], "rendered": bool} -> {"scores": [...]}.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.reward_address import without_secrets
from backstay.learn.rewards.text_rewards import RewardFailure, Texts, TextScorer, finite_scores, within

MAX_ANSWER_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16
PASSING = frozenset({"connection", "timeout", "busy"})
"""Reasons for which the same request may succeed a moment later."""


@dataclass(frozen=True)
class Endpoint:
    """Where requests go; made by `parse_endpoint`, which checks it."""

    url: str
    secure: bool
    host: str
    port: int
    target: str


def parse_endpoint(url: str) -> Endpoint:
    """Take a URL apart; raises UsageError for another scheme than http or https, no host, or a password inside."""
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no address of a reward service: {error}") from error
    printable = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not host or not printable:
        raise UsageError(f"{url!r} is no address of a reward service", cure="write http://host:port/path, or https://")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the address of the reward service holds a user name", cure="name a token variable instead")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(url, secure, host, port or (443 if secure else 80), target)


class HttpReward(TextScorer):
    """A reward that a service gives, asked in requests of at most `batch_size` rows, one after the other.

    A request has `timeout_s` in all, however slowly the answer drips, and is repeated `retries` times after a
    connection error, a time-out, 429 or 5xx, waiting `backoff_s`, then twice that, and so on. No redirect is followed,
    no proxy variable is read, and an answer of more than 16 MiB is given up on. `token_variable` names the environment
    variable that holds a bearer token; over plain http it can be read on the way.
    """

    def __init__(
        self,
        model: LanguageModel,
        url: str,
        *,
        timeout_s: float = 60.0,
        retries: int = 2,
        backoff_s: float = 0.5,
        batch_size: int = 32,
        max_failures: int = 3,
        token_variable: str = "",
        prompt_texts: Mapping[tuple[int, ...], str] | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(model, batch_size=batch_size, max_failures=max_failures, prompt_texts=prompt_texts)
        self.endpoint, self.timeout_s = parse_endpoint(url), timeout_s
        self.retries, self.backoff_s, self.sleep = retries, backoff_s, sleep
        self.headers = {"Content-Type": "application/json", "Accept": "application/json"} | _bearer(token_variable)
        self.max_answer_bytes = max_answer_bytes

    @property
    def source(self) -> str:
        """The service's address, without what may be a key."""
        return f"the reward service at {without_secrets(self.endpoint.url)}"

    def ask(self, texts: Texts) -> list[float]:
        """Scores of some rows; raises RewardFailure once no attempt is left."""
        request = {"prompts": texts.prompts, "responses": texts.responses, "finished": texts.finished}
        body = json.dumps(request | {"rendered": not self.prompt_texts}).encode()
        for attempt in range(self.retries + 1):
            try:
                answer = post(self.endpoint, body, self.headers, self.timeout_s, self.max_answer_bytes)
                return finite_scores(_scores(answer), len(texts.responses))
            except RewardFailure as failure:
                if failure.reason not in PASSING or attempt == self.retries:
                    raise
                self.sleep(self.backoff_s * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _scores(answer: bytes) -> Any:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise RewardFailure("bad_answer", f"the answer is not JSON: {type(error).__name__}") from error
    if not isinstance(found, dict) or not isinstance(found.get("scores"), list):
        raise RewardFailure("bad_answer", 'the answer has no list "scores"')
    return found["scores"]


def post(endpoint: Endpoint, body: bytes, headers: Mapping[str, str], timeout_s: float, limit_bytes: int) -> bytes:
    """The body of a 200 answer; raises RewardFailure, and never takes much longer than `timeout_s`."""
    exchange = _Exchange(endpoint, timeout_s, limit_bytes)
    abandoned: list[threading.Thread] = []
    try:
        return within(timeout_s, lambda: exchange.run(body, dict(headers)), abandoned)
    finally:
        exchange.cut()  # A thread that still waits for a byte gets an error, and ends.


class _Exchange:
    """One connection for one request."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, limit_bytes: int) -> None:
        self.endpoint, self.limit_bytes = endpoint, limit_bytes
        self.socket: socket.socket | None = None
        self.connection: http.client.HTTPConnection
        if endpoint.secure:
            context = ssl.create_default_context()
            self.connection = http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=timeout_s, context=context
            )
        else:
            self.connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)

    def run(self, body: bytes, headers: dict[str, str]) -> bytes:
        try:
            return self._run(body, headers)
        except TimeoutError as error:
            raise RewardFailure("timeout", "no answer in time") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RewardFailure("connection", f"{type(error).__name__}: {error}") from error
        finally:
            self.connection.close()

    def _run(self, body: bytes, headers: dict[str, str]) -> bytes:
        self.connection.connect()
        self.socket = self.connection.sock
        self.connection.request("POST", self.endpoint.target, body=body, headers=headers)
        with self.connection.getresponse() as response:
            _check_status(response.status)
            return self._read(response)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        parts, size = [], 0
        while chunk := response.read1(CHUNK_BYTES):
            size += len(chunk)
            if size > self.limit_bytes:
                raise RewardFailure("too_large", f"the answer is larger than {self.limit_bytes} bytes")
            parts.append(chunk)
        return b"".join(parts)

    def cut(self) -> None:
        """End the connection under the thread that uses it; it cleans up itself."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


def _check_status(status: int) -> None:
    if status == 200:
        return
    if 300 <= status < 400:
        raise RewardFailure("redirect", f"the service answered {status}; redirects are not followed")
    raise RewardFailure("busy" if status == 429 or status >= 500 else "refused", f"the service answered {status}")


def _bearer(variable: str) -> dict[str, str]:
    if not variable:
        return {}
    token = os.environ.get(variable, "").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(f"the variable {variable} holds no token for the reward service", cure=f"export {variable}=…")
    return {"Authorization": f"Bearer {token}"}
