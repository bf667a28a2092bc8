"""From guard.yaml to a gateway: everything that can be wrong is found here, before anything listens."""

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

from backstay.guard.approvals import Approvals, Directory, DirectoryFile, Links, Target, read_settings
from backstay.guard.approvals.service import Recheck
from backstay.guard.approvals.webhook import targets_of
from backstay.guard.audit import AuditLog
from backstay.guard.enforcer import Enforcer
from backstay.guard.gateway.app import Front
from backstay.guard.gateway.harvesting import Harvester, harvester_of
from backstay.guard.gateway.holds import ApprovalHolds, rechecked
from backstay.guard.gateway.kept import KeptAnswers
from backstay.guard.gateway.keys import KeyRing
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.local_worker import local_workers
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.recording import Recorder
from backstay.guard.gateway.scanning import check_kinds, scan_bundle, stream_kinds, text_scan
from backstay.guard.gateway.service import Gateway
from backstay.guard.gateway.settings import STATE, GuardSettings
from backstay.guard.gateway.upstream import Upstreams
from backstay.guard.ledger import Ledger
from backstay.guard.mcp.chat_pins import ChatPins
from backstay.guard.mcp.pins import Pins
from backstay.guard.mcp.proxy import McpProxy
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
    webhooks: tuple[Target, ...]
    mcp: McpProxy
    harvest: Harvester | None = None

    @property
    def nobody_approves(self) -> bool:
        """Whether no approver is set."""
        return not self.holds.approvals.directory().people


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
        check_kinds(live.bundle, settings.scan)
        metrics = Metrics()
        canaries = (canary_of(bytes.fromhex(ledger.digest(b"backstay: canaries")), str(home)),)
        recorder = Recorder(AuditLog(ledger, settings.audit.contents), metrics)
        workers = await stack.enter_async_context(local_workers(settings, home, environment, ledger))
        upstreams = await stack.enter_async_context(Upstreams(settings, environment, workers))
        enforcer = Enforcer(live, histories, recorder, on_unscanned=settings.on_unscanned)
        scans = RememberedScans(text_scan(scan_bundle(settings.scan, canaries)))
        tools = load_tool_roles([home / path for path in settings.tool_roles])
        approvals = approvals_of(settings, home, ledger, partial(rechecked, enforcer, scans, tools))
        holds = ApprovalHolds(approvals, KeptAnswers(ledger), f"{socket.gethostname()}:{os.getpid()}")
        pins = Pins(home / STATE / "mcp-pins", settings.mcp_limits.tools)
        gateway = Gateway(
            settings,
            enforcer,
            scans,
            stream_kinds(settings.scan, canaries),
            holds,
            upstreams,
            Limits(settings.limits.in_flight),
            recorder,
            tools,
            canaries[0],
            tool_pins=ChatPins(pins) if settings.pin_tools else None,
        )
        gateway.harvest = harvest = harvester_of(settings, ledger, canaries, metrics)
        if harvest is not None:
            stack.callback(harvest.close)
        front = Front(gateway, keys, metrics)
        mcp = await stack.enter_async_context(McpProxy(gateway, settings.mcp, settings.mcp_limits, pins, environment))
        front.observe = lambda: metrics.observe(
            gateway.limits.in_flight, ledger.pending, live.bundle.hash, broken=live.status.last_error is not None
        )
        yield Parts(settings, front, ledger, live, keys, metrics, holds, webhook_targets(settings, home), mcp, harvest)


@contextlib.contextmanager
def policy_source(settings: GuardSettings, home: Path) -> Iterator[PolicySource]:
    """Where the policy comes from: files, a signed bundle, or the shipped default."""
    if settings.bundle:
        trusted = home / (settings.trusted_keys or settings.audit.keys)
        yield SignedFile(home / settings.bundle, public_keys(trusted), home / STATE / "policy-accepted.json")
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
    return histories, LivePolicy(source, last_good=home / STATE / "policy-last-good.json", histories=histories)


def approvals_of(settings: GuardSettings, home: Path, ledger: Ledger, recheck: Recheck) -> Approvals:
    """Approvals by the people of the approvers' file; without one nobody can approve, and what is held expires."""
    path, links = _approvers(settings, home), Links.of(home / settings.audit.keys)
    if path is None:
        return Approvals(ledger, partial(Directory, []), recheck=recheck, link_signer=links)
    people, behaviour = DirectoryFile(path), read_settings(path).settings
    return Approvals(ledger, people, settings=behaviour, recheck=recheck, link_signer=links)


def webhook_targets(settings: GuardSettings, home: Path) -> tuple[Target, ...]:
    """Who hears of approvals; raises UsageError."""
    path = _approvers(settings, home)
    return () if path is None else targets_of(read_settings(path).webhooks, path.parent)


def _approvers(settings: GuardSettings, home: Path) -> Path | None:
    path = home / (settings.holds.approvers or f"{STATE}/approvers.yaml")
    return path if settings.holds.approvers or path.is_file() else None


def place_of(database: str, home: Path) -> str | Path:
    """Where the ledger is: a URL as it stands, a path from `home`."""
    return database if "://" in database else home / database
