"""Sending what is in the outbox: one event at a time to each webhook, several webhooks at once."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from backstay.errors import BackstayError
from backstay.guard import checked_post
from backstay.guard.sealing import Seals
from backstay.storage.unit import Unit
from backstay.web.console import Console
from backstay.web.webhooks import hooks, outbox
from backstay.web.webhooks.outbox import Delivery
from backstay.web.webhooks.signing import headers

AT_ONCE = 8
LONGEST_ROW_S = 60.0
"""Seconds after which a slow webhook's row of events is cut off, well before others may take them."""

_DAY_MS = 86_400_000
_log = logging.getLogger("backstay.web")

Send = Callable[[str, bytes, dict[str, str], bool], int]


def send(url: str, body: bytes, given: dict[str, str], private: bool) -> int:
    """Post one event; the status of the answer. Raises PostFailed."""
    return checked_post.post(url, body, given, private=private)


class Deliveries:
    """Sends events until it is stopped. A webhook that is slow or down holds no other one up."""

    def __init__(self, console: Console, post: Send = send) -> None:
        self._console, self._send = console, post
        self._seals = Seals(console.ledger, hooks.PURPOSE)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="console-webhook")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended = asyncio.Event()

    async def run(self, every_s: float = 1.0) -> None:
        """Look for what is due, now and then and whenever a webhook is free again, until cancelled."""
        try:
            while True:
                self._ended.clear()
                await self._looked()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), every_s)
        finally:
            self.close()

    async def once(self) -> int:
        """Send what is due now, at most a batch to each webhook, and wait for it; how many were taken."""
        taken = await self._start()
        if self._running:
            await asyncio.wait(list(self._running.values()))
        return taken

    def close(self) -> None:
        """Let go of what is being sent; it is sent again later."""
        for task in self._running.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _looked(self) -> None:
        """An error of the database is waited out."""
        try:
            await self._start()
        except BackstayError as error:
            _log.error("sending webhooks: %s", error)

    async def _start(self) -> int:
        free, now_ms = AT_ONCE - len(self._running), self._console.clock()
        if not free or not await self._console.read(lambda connection: outbox.has_due(connection, now_ms)):
            return 0
        taken = await self._console.write(lambda unit: self._take(unit, free))
        for hook, due in taken.items():
            self._running[hook] = asyncio.ensure_future(self._deliver(hook, due))
        return sum(map(len, taken.values()))

    def _take(self, unit: Unit, free: int) -> dict[str, list[Delivery]]:
        outbox.prune(unit, self._console.settings.webhook_keep_days * _DAY_MS)
        return outbox.take_due(unit, list(self._running), free)

    async def _deliver(self, hook: str, due: list[Delivery]) -> None:
        """Send a webhook's events in a row, up to the first that fails."""
        loop = asyncio.get_running_loop()
        latest_s, sent, error = loop.time() + LONGEST_ROW_S, 0, ""
        try:
            while sent < len(due) and not error and loop.time() < latest_s:
                error = await loop.run_in_executor(self._threads, self._post, due[sent])
                sent += 1
            await self._console.write(lambda unit: self._write(unit, due, sent, error))
        except BackstayError as unwritten:
            _log.error("webhook %s: %s", hook, unwritten)
        finally:
            self._running.pop(hook, None)
            self._ended.set()

    def _write(self, unit: Unit, due: list[Delivery], sent: int, error: str) -> None:
        confirmed = sent - bool(error)
        for delivery in due[:confirmed]:
            outbox.delivered(unit, delivery)
        if error:
            outbox.failed(unit, due[confirmed], error, self._console.settings.webhook_attempts)
        outbox.untaken(unit, due[sent:])

    def _post(self, delivery: Delivery) -> str:
        """Send one event; what went wrong, or nothing."""
        settings, now_ms = self._console.settings, self._console.clock()
        try:
            with self._console.engine.connect() as connection:
                url = hooks.find(connection, delivery.webhook_id).url
                keys = hooks.keys_of(connection, self._seals, delivery.webhook_id, now_ms)
            hooks.check_target(url, private=settings.webhook_private)
            body = delivery.body.encode()
            given = headers(keys, delivery.event_id, now_ms // 1000, body)
            status = self._send(url, body, given, settings.webhook_private)
        except BackstayError as failed:
            return failed.message
        return "" if 200 <= status < 300 else f"the target answered {status}"
