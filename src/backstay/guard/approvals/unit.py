"""One unit of work on approvals: every change is a compare-and-swap together with its journal row, or nothing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from backstay.guard.approvals import store
from backstay.guard.approvals.approval import Approval, utc
from backstay.guard.approvals.clock import Clock
from backstay.guard.approvals.outbox import enqueue
from backstay.guard.approvals.people import Directory
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.settings import Settings
from backstay.guard.approvals.states import State, check_transition
from backstay.guard.ledger import Writer

KIND = "guard.approval"
ANNOUNCED = frozenset({"asked", "escalated", "break_glass"})
"""Events that webhooks hear of beside every change of state."""


class Answer(NamedTuple):
    """What a unit gives back: a refusal is returned and not raised where rows must stand."""

    approval: Approval
    refusal: Refusal | None = None
    token: str = ""


class Unit:
    """A writer, the time, and who is who."""

    def __init__(self, writer: Writer, clock: Clock, directory: Directory, settings: Settings) -> None:
        self.writer, self.directory, self.settings = writer, directory, settings
        self.now_ms = store.tick(writer.connection, clock)

    def find(self, approval_id: str) -> Approval:
        """The approval as it stands; refuses an unknown id."""
        approval = store.load(self.writer.connection, approval_id)
        if approval is None:
            raise Refusal("not_found", f"no approval {approval_id!r}")
        return approval

    def add(self, approval: Approval, by: str, **more: Any) -> Approval:
        """Store a new approval."""
        self._journal(approval, "asked", by, "", approval, more)
        store.add(self.writer.connection, approval)
        self._announce(approval, "asked", by)
        return approval

    def change(
        self,
        approval: Approval,
        event: str,
        by: str,
        *,
        to: State | None = None,
        changes: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Approval:
        """Change a row, and its state where `to` is given; `more` stands in the journal only."""
        values = dict(changes or {})
        if to is not None:
            check_transition(approval.state, to)
            values["state"] = to
        after = store.swap(self.writer.connection, approval, values)
        self._journal(approval, event, by, approval.state, after, more)
        if to is not None or event in ANNOUNCED:
            self._announce(after, event, by)
        return after

    def note(self, approval: Approval, event: str, by: str, **more: Any) -> None:
        """A journal row about an approval that does not change."""
        self._journal(approval, event, by, approval.state, approval, more)

    def refuse(self, approval: Approval, by: str, attempt: str, code: str, message: str) -> Answer:
        """Journal an attempt that is refused."""
        self.note(approval, "refused", by, attempt=attempt, code=code)
        return Answer(approval, Refusal(code, message))

    def expire(self, approval: Approval) -> Approval:
        """Its time has passed."""
        return self.change(approval, "expired", "clock", to=State.EXPIRED)

    def lose(self, approval: Approval) -> Approval:
        """Its worker's time has passed without an outcome."""
        return self.change(approval, "lease_over", "clock", to=State.UNKNOWN)

    def _journal(
        self, about: Approval, event: str, by: str, before: str, after: Approval, more: Mapping[str, Any]
    ) -> None:
        said = {
            "id": about.id,
            "event": event,
            "from": str(before),
            "to": str(after.state),
            "version": after.version,
            "digest": after.digest,
            "at": utc(self.now_ms),
            "by": by,
        }
        self.writer.append(KIND, said | dict(more))

    def _announce(self, approval: Approval, event: str, by: str) -> None:
        enqueue(self.writer.connection, self.settings.webhooks, approval, event, by, self.now_ms)
