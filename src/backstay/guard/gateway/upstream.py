"""Upstreams: whom to ask, and how: retries while nothing has been answered, time limits, answers in bounded pieces."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from backstay.errors import UsageError
from backstay.guard.addresses import is_loopback
from backstay.guard.gateway.answers import MalformedAnswer
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.local_worker import REFUSED, LocalWorker
from backstay.guard.gateway.settings import GuardSettings, UpstreamSettings
from backstay.guard.gateway.sse import Event, EventReader, MalformedStream
from backstay.guard.gateway.tracing import add_trace
from backstay.policy.points import glob_matches

AGAIN = frozenset({429, 502, 503, 504})
OK, TOO_MANY = 200, 429
OURS_TO_MEND = (400, 404, 413, 422)
MAX_DETAIL = 16_384
FIRST_PAUSE_S, LAST_PAUSE_S = 0.25, 8.0
PIECE = 65_536
_log = logging.getLogger("backstay.guard")


class BrokenOff(Exception):
    """An upstream's answer ended before its end."""


class UpstreamRefused(ApiFault):
    """An upstream's error; `detail` is what it says, which nothing has scanned yet."""

    detail: str = ""


@dataclass(frozen=True)
class Upstream:
    """One upstream and the connections to it."""

    name: str
    settings: UpstreamSettings
    key: str = ""
    worker: LocalWorker | None = None

    def address(self) -> tuple[str, str]:
        """Where it is now and its key; raises ApiFault 503 while a worker is not there."""
        return (self.settings.base_url, self.key) if self.worker is None else self.worker.address()


class Answer:
    """An upstream's answer of which the head is here."""

    def __init__(self, response: aiohttp.ClientResponse, settings: UpstreamSettings, limit: int, event: int) -> None:
        self._response, self._settings, self._limit, self._event = response, settings, limit, event
        self.streams = response.content_type == "text/event-stream"
        self.is_json = response.content_type == "application/json" or response.content_type.endswith("+json")

    async def whole(self) -> bytes:
        """The whole body; raises MalformedAnswer where it is longer than allowed, BrokenOff where it is torn."""
        pieces, size = [], 0
        async for piece in self._pieces():
            size += len(piece)
            if size > self._limit:
                raise MalformedAnswer(f"the upstream's answer is longer than {self._limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def events(self) -> AsyncIterator[list[Event]]:
        """Events, those of one piece together; raises MalformedStream, BrokenOff."""
        reader = EventReader(self._event)
        async for piece in self._pieces():
            batch = list(reader.feed(piece))
            if batch:
                yield batch
        if reader.torn:
            raise MalformedStream("the upstream's stream ended within an event")

    async def _pieces(self) -> AsyncIterator[bytes]:
        content = self._response.content
        while True:
            try:
                async with asyncio.timeout(self._settings.idle_s):
                    piece = await content.readany()
            except TimeoutError as error:
                raise ApiFault(
                    504, "upstream_slow", f"the upstream was silent for {self._settings.idle_s:g} s"
                ) from error
            except aiohttp.ClientError as error:
                raise BrokenOff(type(error).__name__) from error
            if not piece:
                return
            for start in range(0, len(piece), PIECE):
                yield piece[start : start + PIECE]


class Upstreams:
    """All upstreams of a gateway; use as an asynchronous context."""

    def __init__(
        self,
        settings: GuardSettings,
        environment: Mapping[str, str],
        workers: Mapping[str, LocalWorker] | None = None,
    ) -> None:
        self._limits = settings.limits
        self._all = [
            _upstream(name, one, environment, (workers or {}).get(name)) for name, one in settings.upstreams.items()
        ]
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._random = random.Random()  # noqa: S311  spreads retries in time

    async def __aenter__(self) -> Self:
        """Open the connections' pools."""
        for upstream in self._all:
            connector = aiohttp.TCPConnector(limit=upstream.settings.connections, ttl_dns_cache=60)
            self._sessions[upstream.name] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=upstream.settings.connect_s),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # A small packed answer can be a huge one; none is asked for.
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        for session in self._sessions.values():
            await session.close()

    def of(self, model: str) -> Upstream:
        """The upstream for a model; raises ApiFault 404."""
        for upstream in self._all:
            if any(glob_matches(pattern, model) for pattern in upstream.settings.models):
                return upstream
        raise ApiFault(404, "not_found", f"no upstream serves the model {model}")

    @property
    def every(self) -> list[Upstream]:
        """All of them, in order."""
        return self._all

    @asynccontextmanager
    async def send(self, upstream: Upstream, method: str, path: str, body: bytes | None) -> AsyncIterator[Answer]:
        """Send a request; retried while nothing of an answer is there. Raises ApiFault 502 or 504."""
        total = asyncio.timeout(upstream.settings.total_s)
        try:
            async with total, await self._first_answer(upstream, method, path, body) as response:
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise MalformedAnswer("it is packed, which was not asked for")
                yield Answer(response, upstream.settings, self._limits.answer_bytes, self._limits.event_bytes)
        except TimeoutError as error:
            if not total.expired():
                raise
            raise ApiFault(504, "upstream_slow", f"no whole answer in {upstream.settings.total_s:g} s") from error

    async def _first_answer(
        self, upstream: Upstream, method: str, path: str, body: bytes | None
    ) -> aiohttp.ClientResponse:
        pause_s = FIRST_PAUSE_S
        for left in range(upstream.settings.retries, -1, -1):
            try:
                response = await self._once(upstream, method, path, body)
            except ApiFault as fault:
                if not left or fault.code == REFUSED:
                    raise
                response = None
            if response is not None:
                if response.status == OK:
                    return response
                if response.status not in AGAIN or not left:
                    raise await _refused(response)
                pause_s = max(pause_s, _asked_pause(response))
                response.close()
            await asyncio.sleep(min(LAST_PAUSE_S, pause_s) * self._random.uniform(0.5, 1.0))
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    async def _once(self, upstream: Upstream, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        headers["accept-encoding"] = "identity"
        base_url, key = upstream.address()
        if key:
            headers["authorization"] = f"Bearer {key}"
        add_trace(headers)
        url = base_url + path
        try:
            async with asyncio.timeout(upstream.settings.first_byte_s):
                return await self._sessions[upstream.name].request(
                    method, url, data=None if body is None else BytesIO(body), headers=headers, allow_redirects=False
                )
        except TimeoutError as error:
            raise ApiFault(504, "upstream_slow", f"{upstream.name} did not begin to answer in time") from error
        except aiohttp.ClientError as error:
            raise ApiFault(
                502, "upstream_down", f"{upstream.name} cannot be reached ({type(error).__name__})"
            ) from error


def _upstream(
    name: str, settings: UpstreamSettings, environment: Mapping[str, str], worker: LocalWorker | None
) -> Upstream:
    if worker is None:
        return Upstream(name, settings, _key(name, settings, environment))
    return Upstream(name, settings.model_copy(update={"models": worker.models}), worker=worker)


def _key(name: str, settings: UpstreamSettings, environment: Mapping[str, str]) -> str:
    if not settings.api_key_variable:
        return ""
    host = urlsplit(settings.base_url).hostname or ""
    if settings.base_url.startswith("http:") and not is_loopback(host):
        _log.warning("upstream %s: its key goes to %s without encryption; use https", name, host)
    key = environment.get(settings.api_key_variable, "")
    if not key:
        raise UsageError(
            f"upstream {name}: the variable {settings.api_key_variable} is not set",
            cure="export it before `guard serve`",
        )
    return key


def _asked_pause(response: aiohttp.ClientResponse) -> float:
    try:
        return min(LAST_PAUSE_S, max(0.0, float(response.headers.get("retry-after", "0"))))
    except ValueError:
        return 0.0


async def _refused(response: aiohttp.ClientResponse) -> UpstreamRefused:
    """An answer that is an error."""
    status = response.status
    headers = {"retry-after": "5"} if status == TOO_MANY else {}
    codes = {TOO_MANY: (TOO_MANY, "rate_limited"), **dict.fromkeys(OURS_TO_MEND, (400, "upstream_refused"))}
    told, code = codes.get(status, (502, "upstream_error"))
    fault = UpstreamRefused(told, code, f"the upstream answered with status {status}", headers=headers)
    try:
        async with asyncio.timeout(5):
            fault.detail = _detail(await response.content.read(MAX_DETAIL))
    except (TimeoutError, aiohttp.ClientError):
        fault.detail = ""
    response.close()
    return fault


def _detail(raw: bytes) -> str:
    """The message of an error in OpenAI's shape, "" for any other."""
    try:
        error = orjson.loads(raw).get("error")
        return str(error.get("message", ""))[:2000] if isinstance(error, dict) else ""
    except (orjson.JSONDecodeError, AttributeError):
        return ""
