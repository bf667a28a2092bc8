"""What time does: expiry, leases that ran out, escalation. Nothing here can approve."""

from backstay.guard.approvals import store
from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.states import State
from backstay.guard.approvals.unit import Unit

BATCH = 200
"""Approvals a transaction, so that a sweep never holds the database for long."""


def sweep(unit: Unit) -> list[Approval]:
    """Carry out what is due; gives the approvals as they stand afterwards, at most `BATCH`."""
    due = store.overdue(unit.writer.connection, unit.now_ms, BATCH)
    return [_swept(unit, approval) for approval in due]


def _swept(unit: Unit, approval: Approval) -> Approval:
    if approval.is_over(unit.now_ms):
        return unit.expire(approval)
    if approval.state is State.EXECUTING:
        return unit.lose(approval)
    roles = unit.settings.escalate_to
    changes = {"escalate_at_ms": None, "escalated_roles": tuple(roles)}
    return unit.change(approval, "escalated", "clock", changes=changes, roles=list(roles))
