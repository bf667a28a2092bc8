"""`Approvals`: what the gateway, the console and the terminal use. Every method fails closed: it raises or it is done.

A ResourceError (database locked, gone, full) means that nothing was allowed; whoever holds a call keeps holding it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from backstay.errors import UsageError
from backstay.guard.approvals import asking, deciding, executing, links, store, sweeping
from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.asking import Current
from backstay.guard.approvals.clock import Clock
from backstay.guard.approvals.executing import Outcome
from backstay.guard.approvals.held_action import MASKED, HeldAction, read_obligations
from backstay.guard.approvals.links import Links
from backstay.guard.approvals.people import Directory, Identity
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.rendering import rendered
from backstay.guard.approvals.settings import Settings
from backstay.guard.approvals.states import State
from backstay.guard.approvals.unit import Answer, Unit
from backstay.guard.approvals.waiting import MAX_WAIT_S, Waiters
from backstay.guard.ledger import Ledger, Writer

T = TypeVar("T")
Recheck = Callable[[HeldAction], Current]
"""Runs policy and scans on an edited action, as on a new one."""

MAX_LEASE_S = 86_400.0
_TRIES = 5


class Claim(NamedTuple):
    """The right to execute once; report the outcome with the token before the lease runs out."""

    approval: Approval
    token: str


class Approvals:
    """Approvals over one ledger. Methods block until what they did is durable; threads may share it."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Callable[[], Directory],
        *,
        settings: Settings | None = None,
        recheck: Recheck | None = None,
        link_signer: Links | None = None,
        clock: Clock | None = None,
        poll_s: float = 0.5,
    ) -> None:
        self._ledger, self._directory = ledger, directory
        self._settings, self._clock = settings or Settings(), clock or Clock()
        self._recheck, self._links, self.poll_s = recheck, link_signer, poll_s
        self.waiters = Waiters()

    @property
    def directory(self) -> Callable[[], Directory]:
        """Who may approve, read anew at each call."""
        return self._directory

    @property
    def checks_edits(self) -> bool:
        """Whether this process runs policy and scans on edits; else they wait for one that does."""
        return self._recheck is not None

    def ask(self, action: HeldAction) -> Approval:
        """Hold an action. Values under a `mask` obligation are stored and shown as keyed digests."""
        held = action.masked(self._ledger.digest)
        return self._do(lambda unit: asking.ask(unit, held)).approval

    def get(self, approval_id: str) -> Approval:
        """The approval as it counts now: `expired` and `unknown` even where no sweep has written that yet."""
        with self._ledger.read() as connection:
            found = store.load(connection, approval_id)
            now_ms = self._clock.now_ms(store.seen_ms(connection))
        if found is None:
            raise Refusal("not_found", f"no approval {approval_id!r}")
        return _as_of(found, now_ms)

    def latest(self, approval_id: str) -> Approval:
        """The approval that took this one's place after edits; itself where there were none."""
        found = self.get(approval_id)
        while found.superseded_by:
            found = self.get(found.superseded_by)
        return found

    def list(self, states: Sequence[State] = (State.PENDING,), after: str = "", limit: int = 100) -> list[Approval]:
        """Approvals whose row is in these states, oldest first, beyond the id `after`; each as it counts now."""
        with self._ledger.read() as connection:
            found = store.listed(connection, states, after, limit)
            now_ms = self._clock.now_ms(store.seen_ms(connection))
        return [_as_of(approval, now_ms) for approval in found]

    def recent(self, states: Sequence[State], limit: int = 100) -> Sequence[Approval]:
        """Approvals whose row is in these states, newest first; each as it counts now."""
        with self._ledger.read() as connection:
            found = store.recent(connection, states, limit)
            now_ms = self._clock.now_ms(store.seen_ms(connection))
        return [_as_of(approval, now_ms) for approval in found]

    def now_ms(self) -> int:
        """The time by which approvals expire."""
        with self._ledger.read() as connection:
            return self._clock.now_ms(store.seen_ms(connection))

    def stamp(self, approval_id: str = "") -> str:
        """A text that changes when this approval does, or when what is pending does; cheap enough to poll."""
        with self._ledger.read() as connection:
            return store.stamp(connection, approval_id)

    def rendered(self, approval_id: str) -> bytes:
        """The exact bytes to show before a decision."""
        approval = self.get(approval_id)
        return rendered(approval, self.get(approval.supersedes) if approval.supersedes else None)

    def decide(
        self, approval_id: str, approver: Identity, vote: str, digest_shown: str, reason: str, key: str
    ) -> Approval:
        """Cast `approve`, `deny` or `break_glass`. Sending the same key again is safe."""
        return self._do(
            lambda unit: deciding.decide(unit, approval_id, approver, vote, digest_shown, reason, key)
        ).approval

    def make_link(self, approval_id: str, person: str, lifetime_s: float = 900.0) -> str:
        """A link token for one person to decide on what is pending now."""
        return self._do(
            lambda unit: Answer(*_linked(links.make(unit, self._signer(), approval_id, person, lifetime_s)))
        ).token

    def open_link(self, token: str) -> Approval:
        """What a link is about; for GET, which decides nothing."""
        with self._ledger.read() as connection:
            now_ms = self._clock.now_ms(store.seen_ms(connection))
        return self.get(self._signer().read(token, now_ms).approval_id)

    def decide_by_link(self, token: str, audience: str, vote: str, reason: str) -> Approval:
        """Decide as the person a link was made for."""
        return self._do(lambda unit: links.decide_by_link(unit, self._signer(), token, audience, vote, reason)).approval

    def edit(self, approval_id: str, editor: Identity, args: Mapping[str, Any], digest_shown: str) -> Approval:
        """Supersede by an approval with other arguments, after policy and scans.

        Where this process cannot run them, the new one waits for the `sweep` of one that can. A masked value stays as
        it is by keeping its digest.
        """
        approval = self.get(approval_id)
        draft = _draft(approval, self._masked_args(approval, args))
        current = self._recheck(draft) if self._recheck else None
        return self._do(lambda unit: asking.edit(unit, approval_id, editor, digest_shown, draft.args, current)).approval

    def cancel(self, approval_id: str, by: str | Identity, reason: str = "") -> Approval:
        """Withdraw: `by` is an authenticated requester or owner by name, or an approver."""
        return self._do(lambda unit: asking.cancel(unit, approval_id, by, reason)).approval

    def claim(self, approval_id: str, digest: str, current: Current, worker: str, lease_s: float = 60.0) -> Claim:
        """The right to execute, at most once ever. `current` is the re-evaluation of the action by today's policy."""
        if not 0 < lease_s <= MAX_LEASE_S:
            raise UsageError(f"lease_s is {lease_s!r}", cure=f"give seconds above 0 and at most {MAX_LEASE_S:g}")
        now = Current(current.effect, current.action.masked(self._ledger.digest))
        answer = self._do(lambda unit: executing.claim(unit, approval_id, digest, now, worker, lease_s))
        return Claim(answer.approval, answer.token)

    def finish(self, token: str, outcome: Outcome, note: str = "") -> Approval:
        """Report what became of it; the same report again is safe."""
        if outcome not in ("executed", "failed"):
            raise UsageError(f"{outcome!r} is no outcome", cure="executed or failed")
        return self._do(lambda unit: executing.finish(unit, token, outcome, note)).approval

    def sweep(self) -> int:
        """Expire, give up leases, escalate, and recheck edits where this process can. How many rows changed."""
        total = 0
        while True:
            swept = self._submit(sweeping.sweep)
            for approval in swept:
                self.waiters.notify(approval.id)
            total += len(swept)
            if len(swept) < sweeping.BATCH:
                return total + self._recheck_edits()

    def wait(self, approval_id: str, timeout_s: float) -> Approval:
        """Block until it is no longer pending, at most `timeout_s` and never above 55 seconds; then what it is."""
        deadline_s = time.monotonic() + min(max(timeout_s, 0.0), MAX_WAIT_S)
        changed = threading.Event()
        with self.waiters.waiting(approval_id, changed.set):
            while True:
                changed.clear()
                approval = self.get(approval_id)
                left_s = deadline_s - time.monotonic()
                if approval.state is not State.PENDING or left_s <= 0:
                    return approval
                changed.wait(min(left_s, self.waiters.pause_s(self.poll_s)))

    def _recheck_edits(self) -> int:
        done = 0
        for approval in self._unchecked() if self._recheck else ():
            current = self._recheck(_draft(approval, approval.content["args"]))  # type: ignore[misc]  # see above
            self._do(_rechecking(approval, current))
            done += 1
        return done

    def _unchecked(self) -> Iterator[Approval]:
        after = ""
        while page := self.list((State.PENDING,), after, sweeping.BATCH):
            yield from (approval for approval in page if approval.unchecked)
            after = page[-1].id

    def _signer(self) -> Links:
        if self._links is None:
            raise UsageError("links are not configured", cure="give Approvals a link_signer: Links.of(keys_dir)")
        return self._links

    def _masked_args(self, approval: Approval, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of an edit, with what is masked masked; a digest that was left alone stays."""
        old = approval.content["args"]
        kept = {
            name: value
            for name, value in args.items()
            if isinstance(value, dict) and MASKED in value and old.get(name) == value
        }
        given = {name: value for name, value in args.items() if name not in kept}
        return {**_draft(approval, given).masked(self._ledger.digest).args, **kept}

    def _do(self, work: Callable[[Unit], Answer]) -> Answer:
        answer = self._submit(work)
        self.waiters.notify(answer.approval.id)
        if answer.approval.supersedes:
            self.waiters.notify(answer.approval.supersedes)
        if answer.refusal is not None:
            raise answer.refusal
        return answer

    def _submit(self, work: Callable[[Unit], T]) -> T:
        directory = self._directory()

        def in_unit(writer: Writer) -> T:
            return work(Unit(writer, self._clock, directory, self._settings))

        for _ in range(_TRIES - 1):
            try:
                return self._ledger.submit(in_unit).result()
            except store.Raced:
                continue
        return self._ledger.submit(in_unit).result()


def _as_of(approval: Approval, now_ms: int) -> Approval:
    if approval.is_over(now_ms):
        return replace(approval, state=State.EXPIRED)
    return replace(approval, state=State.UNKNOWN) if approval.lease_is_over(now_ms) else approval


def _linked(made: tuple[Approval, str]) -> tuple[Approval, None, str]:
    return made[0], None, made[1]


def _rechecking(approval: Approval, current: Current) -> Callable[[Unit], Answer]:
    return lambda unit: asking.recheck(unit, approval.id, approval.version, current)


def _draft(approval: Approval, args: Mapping[str, Any]) -> HeldAction:
    content = approval.content
    names = ("principal", "owner", "session", "action", "tool", "tool_schema", "resource", "policy")
    return HeldAction(
        **{name: str(content[name]) for name in names},
        args=args,
        obligations=read_obligations(content["obligations"]),
        rules=approval.rules,
        reasons=approval.reasons,
        exchange=approval.exchange,
    )
