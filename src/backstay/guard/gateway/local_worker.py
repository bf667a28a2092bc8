"""A policy of our own behind the gateway: `backstay serve-policy` as a process that the gateway starts and looks after.

The gateway itself loads no model. The worker listens on a free port of this machine, knows one token that is made for
it and handed over by a pipe, and ends when that pipe does: it does not outlive the gateway, however that ends.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from backstay.errors import BackstayError, IntegrityError, ResourceError, UsageError
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.released_model import ReleasedModel, Trust
from backstay.guard.gateway.settings import GuardSettings, UpstreamSettings
from backstay.guard.ledger import Ledger

REFUSED = "release_refused"
FIRST_PAUSE_S, LAST_PAUSE_S, STEADY_S = 0.5, 30.0, 60.0
END_S = 5.0
KEPT_VARIABLES = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TZ"})
KEPT_PREFIXES = ("BACKSTAY_", "LC_", "OMP_", "MKL_", "CUDA", "NVIDIA_", "TORCH", "PYTORCH_", "HF_", "XDG_", "SSL_CERT_")
"""What a worker is given of the gateway's environment; keys of other upstreams are no business of a model's."""
_log = logging.getLogger("backstay.guard")


class LocalWorker:
    """The worker of one upstream; `models` are the names that it serves, once it has started."""

    def __init__(
        self, name: str, settings: UpstreamSettings, home: Path, environment: Mapping[str, str], trust: Trust | None
    ) -> None:
        self.name, self._settings, self._trust = name, settings, trust
        self._project, self._environment = (home / settings.project).absolute(), environment
        self._run = settings.run
        self._process: Process | None = None
        self._at: tuple[str, str] | None = None
        self.models: tuple[str, ...] = ()
        self.release: ReleasedModel | None = None
        self.refused = ""

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def address(self) -> tuple[str, str]:
        """Where it listens, `/v1` included, and its token; raises ApiFault 503 while it may not or cannot serve."""
        if self.release is not None and not self.refused and self.release.expired():
            self.refuse(f"its release expired at {self.release.signed.release.expires_at}")
        if self.refused:
            raise ApiFault(503, REFUSED, f"{self.name} serves nothing: {self.refused}")
        if self._at is None:
            raise ApiFault(503, "upstream_down", f"{self.name} is being started again", headers={"retry-after": "2"})
        return self._at

    async def start(self) -> None:
        """Start the process and wait until it serves; raises UsageError, IntegrityError or ResourceError."""
        token = secrets.token_urlsafe(32)
        self._process = await asyncio.create_subprocess_exec(
            *self._command(), stdin=PIPE, stdout=PIPE, env=self._variables(), start_new_session=True
        )
        try:
            async with asyncio.timeout(self._settings.start_s):
                told = await self._first_words(token)
                await self._trusted(told)
        except TimeoutError as error:
            await self._end()
            raise ResourceError(
                f"upstream {self.name}: {self._run} was not ready in {self._settings.start_s:g} s", cure="raise start_s"
            ) from error
        except BaseException:
            await self._end()
            raise
        if self.refused:
            await self._end()
            return
        self._run, self.models = told["run"], tuple(told["models"])
        self._at = f"{told['url']}/v1", token

    async def tend(self) -> None:
        """Start the process again whenever it ends, later each time; returns once it is refused."""
        pause_s = FIRST_PAUSE_S
        while True:
            began = monotonic()
            await self._ended()
            self._at = None
            if self.refused:
                return
            pause_s = FIRST_PAUSE_S if monotonic() - began > STEADY_S else pause_s
            _log.error("upstream %s: its worker ended; it is started again in %g s", self.name, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(LAST_PAUSE_S, pause_s * 2)
            try:
                await self.start()
            except IntegrityError as error:
                self.refuse(error.message)
            except (BackstayError, OSError, ValueError) as error:
                _log.error("upstream %s: %s", self.name, error)

    async def check(self) -> bool:
        """Look whether its release still holds; whether it has been refused for good."""
        if self.release is not None and not self.refused:
            try:
                await asyncio.to_thread(self.release.check)
            except (BackstayError, OSError) as error:
                self.refuse(error.message if isinstance(error, BackstayError) else str(error))
        return bool(self.refused)

    def refuse(self, reason: str) -> None:
        """Serve nothing any longer; an answer under way is cut off."""
        self.refused, self._at = reason, None
        _log.error("upstream %s serves nothing: %s", self.name, reason)
        if self.release is not None:
            with contextlib.suppress(BackstayError):  # A ledger that is gone lets nothing through in any case.
                self.release.record_refusal(reason)
        if self.pid is not None and self._process is not None:
            self._process.kill()

    async def close(self) -> None:
        """End the process."""
        self._at = None
        await self._end()

    def _command(self) -> list[str]:
        command = [sys.executable, "-P", "-m", "backstay.cli", "serve-policy", self._run]
        command += ["--project", str(self._project), "--port", "0", "--token-stdin", "--json", "--drain-s", "2"]
        if self._trust is not None:
            command += ["--release-keys", str(self._trust.keys)]
            command += ["--revoked", str(self._trust.revoked)] if self._trust.revoked is not None else []
        return command

    def _variables(self) -> dict[str, str]:
        given = self._environment.items()
        return {name: value for name, value in given if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)}

    async def _first_words(self, token: str) -> dict[str, Any]:
        """Hand over the token and hear where it listens; raises what kept it from that."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  pipes were asked for
        with contextlib.suppress(ConnectionError):  # It has ended already, and has said why.
            process.stdin.write(token.encode() + b"\n")
            await process.stdin.drain()
        while line := await process.stdout.readline():
            told = _object(line)
            if "error" in told:
                raise _error(f"upstream {self.name}", told["error"])
            if {"url", "run", "models"} <= told.keys():
                return told
        raise ResourceError(f"upstream {self.name}: its worker ended with status {await process.wait()} and no word")

    async def _trusted(self, told: dict[str, Any]) -> None:
        """Under `signed_only`, check the release by ourselves, and that it is the one that was loaded."""
        if self._trust is None:
            return
        if told.get("release") is None:
            raise IntegrityError(f"upstream {self.name}: {told['run']} is no signed release")
        found = await asyncio.to_thread(ReleasedModel.open, self.name, told, self._trust)
        if self.release is None:
            self.release = found
        elif self.release.signed.files != found.signed.files:
            raise IntegrityError(f"upstream {self.name}: another model than the one at the start was loaded")
        else:
            self.release.renewed(found)

    async def _ended(self) -> None:
        if self._process is None:
            return
        if self._process.stdout is not None:
            while await self._process.stdout.read(65_536):
                pass
        await self._process.wait()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def local_workers(
    settings: GuardSettings, home: Path, environment: Mapping[str, str], ledger: Ledger
) -> AsyncIterator[dict[str, LocalWorker]]:
    """Start a worker for every upstream that is a run, look after them, and end them; raises what one ends with."""
    secret = {upstream.api_key_variable for upstream in settings.upstreams.values()}
    given = {name: value for name, value in environment.items() if name not in secret}
    trust = Trust.of(settings.releases, home, ledger) if settings.signed_only else None
    workers = {name: LocalWorker(name, one, home, given, trust) for name, one in settings.upstreams.items() if one.run}
    async with AsyncExitStack() as stack:
        for worker in workers.values():
            stack.push_async_callback(worker.close)
            await worker.start()
        for worker in workers.values():
            await stack.enter_async_context(_background(worker.tend()))
            if trust is not None:
                await stack.enter_async_context(_background(_checked(worker, settings.releases.check_s)))
        yield workers


async def _checked(worker: LocalWorker, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        if await worker.check():
            return


@asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _object(line: bytes) -> dict[str, Any]:
    """A line as a JSON object; what a library prints beside it counts as an empty one."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(place: str, told: Any) -> BackstayError:
    """The error of our tree that a worker has ended with."""
    told = told if isinstance(told, dict) else {"message": told}
    kinds: dict[Any, type[BackstayError]] = {2: UsageError, 4: IntegrityError}
    first, _, cure = str(told.get("message")).partition("\n  cure: ")
    return kinds.get(told.get("exit_code"), ResourceError)(f"{place}: {first}", cure=cure or None)
