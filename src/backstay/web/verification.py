"""Walking the whole journal in the background: one walk at a time, and what the last one found."""

import asyncio
import threading
from dataclasses import dataclass, replace

from backstay.errors import BackstayError
from backstay.storage.seal import Sealer
from backstay.storage.verify import verify_journal
from backstay.web.console import Console


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk over the journal. `broken` says what does not hold, or why nobody could look; empty: all holds."""

    by: str
    started_ms: int
    ended_ms: int | None = None
    entries: int = 0
    sealed_entries: int = 0
    broken: str = ""


class Verification:
    """The walks of one console."""

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()
        self.last: Walk | None = None
        self._running: asyncio.Future[None] | None = None

    async def start(self, by: str) -> Walk:
        """Begin a walk, unless one is under way; the walk that is."""
        with self._lock:
            if self.last is not None and self.last.ended_ms is None:
                return self.last
            self.last = walk = Walk(by, self._console.clock())
        await self._console.write(lambda unit: unit.note("console.verify", {"by": by, "what": "verify"}))
        self._running = asyncio.get_running_loop().run_in_executor(None, self._walk, walk)
        return walk

    async def wait(self) -> None:
        """Until no walk is under way."""
        if self._running is not None:
            await self._running

    def _walk(self, walk: Walk) -> None:
        try:
            found = self._found(walk)
        except BackstayError as error:
            found = replace(walk, broken=error.message)
        except Exception as error:  # noqa: BLE001  a walk that dies is shown as one that found no proof
            found = replace(walk, broken=f"the walk ended early: {type(error).__name__}")
        with self._lock:
            self.last = replace(found, ended_ms=self._console.clock())

    def _found(self, walk: Walk) -> Walk:
        folder, seals = self._console.folder, self._console.seals
        if folder is None or seals is None:
            return replace(walk, broken="this console does not know where its seals are")
        report = verify_journal(self._console.engine, Sealer(folder / "keys", seals).read())
        return replace(walk, entries=report.entries, sealed_entries=report.sealed_entries, broken=report.broken or "")
