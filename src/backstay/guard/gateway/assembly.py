"""From guard.yaml to a gateway: everything that can be wrong is found here, before anything listens."""

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

from backstay.guard.approvals import Approvals, Directory, DirectoryFile
from backstay.guard.approvals import Settings as ApprovalSettings
from backstay.guard.audit import AuditLog
from backstay.guard.enforcer import Enforcer
from backstay.guard.gateway.app import Front
from backstay.guard.gateway.harvesting import Harvester, harvester_of
from backstay.guard.gateway.holds import ApprovalHolds
from backstay.guard.gateway.kept import KeptAnswers
from backstay.guard.gateway.keys import KeyRing
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.recording import Recorder
from backstay.guard.gateway.scanning import scan_bundle, stream_kinds, text_scan
from backstay.guard.gateway.service import Gateway
from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.gateway.upstream import Upstreams
from backstay.guard.ledger import Ledger
from backstay.guard.recovery import restore_histories
from backstay.guard.scans import RememberedScans
from backstay.guard.tool_roles import load_tool_roles
from backstay.policy import Histories
from backstay.policy.live import LivePolicy
from backstay.policy.policy_source import PolicyFiles, PolicySource, SignedFile
from backstay.scan import canary_of
from backstay.storage.keys import public_keys


@dataclass
class Parts:
    """A gateway that is ready to serve, and what its server looks after."""

    settings: GuardSettings
    front: Front
    ledger: Ledger
    live: LivePolicy
    keys: KeyRing | None
    metrics: Metrics
    holds: ApprovalHolds
    harvest: Harvester | None = None


@asynccontextmanager
async def assembled(settings: GuardSettings, home: Path, environment: Mapping[str, str]) -> AsyncIterator[Parts]:
    """Build the gateway of a guard.yaml that stands in `home`; raises UsageError, ResourceError, IntegrityError."""
    async with AsyncExitStack() as stack:
        keys = KeyRing(home / settings.keys) if settings.keys else None
        source = stack.enter_context(policy_source(settings, home))
        ledger = Ledger.open(
            place_of(settings.audit.database, home),
            keys_dir=home / settings.audit.keys,
            max_wait_ms=settings.audit.max_wait_ms,
        )
        stack.callback(ledger.close)
        histories, live = _policy(source, ledger, home)
        metrics = Metrics()
        canaries = (canary_of(bytes.fromhex(ledger.digest(b"backstay: canaries")), str(home)),)
        recorder = Recorder(AuditLog(ledger, settings.audit.contents), metrics)
        approvals = holds_of(settings, home, ledger)
        upstreams = await stack.enter_async_context(Upstreams(settings, environment))
        gateway = Gateway(
            settings,
            Enforcer(live, histories, recorder, on_unscanned=settings.on_unscanned),
            RememberedScans(text_scan(scan_bundle(settings.scan, canaries))),
            stream_kinds(settings.scan, canaries),
            approvals,
            upstreams,
            Limits(settings.limits.in_flight),
            recorder,
            load_tool_roles([home / path for path in settings.tool_roles]),
            canaries[0],
        )
        gateway.harvest = harvest = harvester_of(settings, ledger, canaries, metrics)
        if harvest is not None:
            stack.callback(harvest.close)
        front = Front(gateway, keys, metrics)
        front.observe = lambda: metrics.observe(
            gateway.limits.in_flight, ledger.pending, live.bundle.hash, broken=live.status.last_error is not None
        )
        yield Parts(settings, front, ledger, live, keys, metrics, approvals, harvest)


@contextlib.contextmanager
def policy_source(settings: GuardSettings, home: Path) -> Iterator[PolicySource]:
    """Where the policy comes from: files, a signed bundle, or the shipped default."""
    if settings.bundle:
        trusted = home / (settings.trusted_keys or settings.audit.keys)
        yield SignedFile(home / settings.bundle, public_keys(trusted), home / "policy-accepted.json")
    elif settings.policies:
        yield PolicyFiles([home / path for path in settings.policies])
    else:
        with as_file(files("backstay.guard").joinpath("default_policy.yaml")) as path:
            yield PolicyFiles([path])


def _policy(source: PolicySource, ledger: Ledger, home: Path) -> tuple[Histories, LivePolicy]:
    """The policy in force and the counters of its sessions, as far as the ledger knows of them."""
    first = LivePolicy(source).bundle
    histories = Histories(first.counters, time.monotonic)
    with ledger.read() as connection:
        restore_histories(histories, first.counters, connection, clock=time.monotonic)
    return histories, LivePolicy(source, last_good=home / "policy-last-good.json", histories=histories)


def holds_of(settings: GuardSettings, home: Path, ledger: Ledger) -> ApprovalHolds:
    """Approvals by the people of the approvers file; without one nobody can approve, and what is held expires."""
    path = settings.holds.approvers
    people: Callable[[], Directory] = DirectoryFile(home / path) if path else partial(Directory, [])
    webhooks = ("main",) if settings.holds.webhook else ()
    approvals = Approvals(ledger, people, settings=ApprovalSettings(webhooks=webhooks))
    return ApprovalHolds(approvals, KeptAnswers(ledger), f"{socket.gethostname()}:{os.getpid()}")


def place_of(database: str, home: Path) -> str | Path:
    """Where the ledger is: a URL as it stands, a path from `home`."""
    return database if "://" in database else home / database
