"""Using an approval: once, by one worker, under the policy of this moment."""

import hashlib
import hmac
import secrets
from typing import Literal

from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.asking import Current
from backstay.guard.approvals.deciding import is_enough
from backstay.guard.approvals.held_action import IDENTITY, check_text, digest_of, hashed_bytes, other_duties
from backstay.guard.approvals.quorum import demands_more, stages_of
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.states import State
from backstay.guard.approvals.unit import Answer, Unit

Outcome = Literal["executed", "failed"]
_USED = frozenset({State.EXECUTING, State.EXECUTED, State.FAILED, State.UNKNOWN})


def claim(unit: Unit, approval_id: str, digest: str, current: Current, worker: str, lease_s: float) -> Answer:
    """Take the approval up for one execution; the answer has the token, or a refusal.

    `current` is what policy and scans say of the action now. What it denies ends the approval; what it demands beyond
    what was approved makes it pending again, under a new digest and so without votes.
    """
    check_text(worker)
    approval = unit.find(approval_id)
    if refused := _not_ready(unit, approval, digest, worker):
        return refused
    if approval.is_over(unit.now_ms):
        return unit.refuse(unit.expire(approval), worker, "claim", "expired", f"{approval.id} has expired")
    if refused := _not_the_same(unit, approval, current, worker):
        return refused
    if refused := _not_enough(unit, approval, current, worker):
        return refused
    token = f"{approval.id}.{secrets.token_urlsafe(32)}"
    lease_until_ms = unit.now_ms + int(lease_s * 1000)
    changes = {"worker": worker, "lease_until_ms": lease_until_ms, "token_sha256": _hash(token)}
    taken = unit.change(approval, "claimed", worker, to=State.EXECUTING, changes=changes, policy=current.action.policy)
    return Answer(taken, token=token)


def finish(unit: Unit, token: str, outcome: Outcome, note: str) -> Answer:
    """Report what became of the execution. After the lease it is journalled, and the approval stays `unknown`."""
    check_text(token, note)
    approval = unit.find(token.partition(".")[0])
    if not approval.token_sha256 or not hmac.compare_digest(_hash(token), approval.token_sha256):
        return unit.refuse(approval, "?", "finish", "wrong_token", f"{approval.id} was not claimed with this token")
    if approval.lease_is_over(unit.now_ms):
        approval = unit.lose(approval)
    if approval.state is State.UNKNOWN:
        unit.note(approval, "late_outcome", approval.worker, outcome=outcome, note=note)
        return Answer(approval, Refusal("lease_over", f"the lease of {approval.id} ran out; it is recorded as unknown"))
    if approval.outcome:
        if approval.outcome == outcome:
            return Answer(approval)
        said = f"{approval.id} was reported as {approval.outcome}, not {outcome}"
        return unit.refuse(approval, approval.worker, "finish", "outcome_differs", said)
    changes = {"outcome": outcome}
    return Answer(unit.change(approval, outcome, approval.worker, to=State(outcome), changes=changes, note=note))


def _not_ready(unit: Unit, approval: Approval, digest: str, worker: str) -> Answer | None:
    if approval.state in _USED:
        return unit.refuse(approval, worker, "claim", "already_used", f"{approval.id} is {approval.state}")
    if approval.state is State.EXPIRED:
        return unit.refuse(approval, worker, "claim", "expired", f"{approval.id} has expired")
    if approval.state is not State.APPROVED:
        return unit.refuse(approval, worker, "claim", "not_approved", f"{approval.id} is {approval.state}")
    if digest != approval.digest:
        return unit.refuse(approval, worker, "claim", "other_digest", f"{approval.id} was approved for another digest")
    return None


def _not_the_same(unit: Unit, approval: Approval, current: Current, worker: str) -> Answer | None:
    now = current.action.content()
    if other := [name for name in IDENTITY if now[name] != approval.content[name]]:
        said = f"{approval.id} was approved for another {', '.join(other)}"
        return unit.refuse(approval, worker, "claim", "other_action", said)
    if current.effect == "deny":
        ended = unit.change(approval, "policy_denies", worker, to=State.STALE, policy=current.action.policy)
        return Answer(ended, Refusal("policy_denies", f"the current policy forbids what {approval.id} approved"))
    same = hashed_bytes(now["args"]) == hashed_bytes(approval.content["args"])
    changed = [] if same else ["args"]
    changed += [] if now["tool_schema"] == approval.content["tool_schema"] else ["tool_schema"]
    if changed:
        ended = unit.change(approval, "changed", worker, to=State.STALE, changed=changed)
        return Answer(ended, Refusal("changed", f"{' and '.join(changed)} of {approval.id} are not what was approved"))
    return None


def _not_enough(unit: Unit, approval: Approval, current: Current, worker: str) -> Answer | None:
    duties = current.action.obligations
    stricter = current.effect == "hold" and demands_more(stages_of(approval.obligations), stages_of(duties))
    others = other_duties(duties) != other_duties(approval.obligations)
    policy = current.action.policy != approval.content["policy"] and unit.settings.void_on_policy_change
    if stricter or others or policy:
        again = _reopened(unit, approval, current, worker)
        return Answer(again, Refusal("demands_more", f"the policy changed; {approval.id} needs approval again"))
    if not is_enough(unit, approval):
        again = unit.change(approval, "quorum_lost", worker, to=State.PENDING, changes={"via": ""})
        return Answer(again, Refusal("quorum_lost", f"not everybody who approved {approval.id} still may"))
    return None


def _reopened(unit: Unit, approval: Approval, current: Current, worker: str) -> Approval:
    """Pending again, with the digest of what is demanded now; it never expires later than it would have."""
    now = current.action.content()
    duties = now["obligations"]
    if current.effect != "hold":
        asked = [duty for duty in approval.content["obligations"] if duty["name"] == "require_approval"]
        duties = asked + duties
    content = {**approval.content, "policy": now["policy"], "obligations": duties}
    changes = {"content": content, "digest": digest_of(content), "via": ""}
    return unit.change(
        approval, "reopened", worker, to=State.PENDING, changes=changes, policy=now["policy"], was=approval.digest
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
