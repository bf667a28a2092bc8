"""Decisions: who may take them, what they are bound to, and when they are enough."""

from typing import Any

from backstay.guard.approvals import store
from backstay.guard.approvals.approval import BREAK_GLASS_ROLE, Approval, Vote, is_granted
from backstay.guard.approvals.held_action import check_text
from backstay.guard.approvals.people import Identity
from backstay.guard.approvals.quorum import may_vote
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.states import OPEN, State
from backstay.guard.approvals.unit import Answer, Unit

APPROVE, DENY, BREAK_GLASS = "approve", "deny", "break_glass"
VOTES = (APPROVE, DENY, BREAK_GLASS)
MIN_REASON = 10
MAX_REASON = 4000
MAX_KEY = 200


def decide(unit: Unit, approval_id: str, who: Identity, vote: str, digest_shown: str, reason: str, key: str) -> Answer:
    """Cast a vote. The same key again gives what stands now; every refusal is journalled."""
    if vote not in VOTES:
        raise Refusal("not_eligible", f"{vote!r} is no decision", cure=f"one of {', '.join(VOTES)}")
    if len(reason) > MAX_REASON or not 0 < len(key) <= MAX_KEY:
        raise Refusal("too_large", f"a reason has at most {MAX_REASON} characters, a key 1 to {MAX_KEY}")
    check_text(reason, key)
    approval = unit.find(approval_id)
    if before := store.vote_by_key(unit.writer.connection, who.id, key):
        if (before[0], before[1].vote, before[1].digest) != (approval.id, vote, digest_shown):
            return unit.refuse(approval, who.id, vote, "key_reused", f"the key {key!r} was used for another decision")
        return Answer(approval)
    if refused := _refused(unit, approval, who, vote, digest_shown):
        return refused
    if approval.is_over(unit.now_ms):
        over = unit.expire(approval)
        return unit.refuse(over, who.id, vote, "expired", f"{approval.id} expired before this decision")
    if vote == BREAK_GLASS and (refused := _glass_holds(unit, approval, who, reason)):
        return refused
    return Answer(_cast(unit, approval, who, vote, reason, key))


def is_enough(unit: Unit, approval: Approval) -> bool:
    """Whether the people who approved are enough, by the roles they had and still have; the interested never count."""
    return is_granted(approval, unit.directory.roles, unit.directory.known_as(approval.interested))


def _refused(unit: Unit, approval: Approval, who: Identity, vote: str, digest_shown: str) -> Answer | None:
    def refuse(code: str, message: str) -> Answer:
        return unit.refuse(approval, who.id, vote, code, message)

    roles = unit.directory.roles.get(who.id, frozenset())
    eligible = BREAK_GLASS_ROLE in roles if vote == BREAK_GLASS else may_vote(approval.stages, roles)
    if who.id in unit.directory.known_as(approval.interested):
        return refuse("self_approval", f"{who.id} requested, owns or edited {approval.id}")
    if not eligible or (vote == BREAK_GLASS and who.how != "token"):
        return refuse("not_eligible", f"{who.id} has no role that may {vote} {approval.id}")
    if approval.state not in ((*OPEN,) if vote == DENY else (State.PENDING,)):
        return refuse("not_pending", f"{approval.id} is {approval.state}")
    if digest_shown != approval.digest:
        return refuse("other_digest", f"{approval.id} is no longer what was shown")
    if approval.unchecked and vote != DENY:
        return refuse("unchecked", f"{approval.id} was edited, and policy and scans have not been run on the edit")
    return None


def _glass_holds(unit: Unit, approval: Approval, who: Identity, reason: str) -> Answer | None:
    settings = unit.settings
    if len(reason.strip()) < MIN_REASON:
        return unit.refuse(approval, who.id, BREAK_GLASS, "reason_missing", "breaking the glass needs a reason")
    if not settings.webhooks:
        return unit.refuse(approval, who.id, BREAK_GLASS, "break_glass_unpaged", "no webhook would page anybody")
    since_ms = unit.now_ms - int(settings.break_glass_window_s * 1000)
    if store.count_broken(unit.writer.connection, since_ms) >= settings.break_glass_most:
        message = f"the glass was broken {settings.break_glass_most} times in {settings.break_glass_window_s:g} s"
        return unit.refuse(approval, who.id, BREAK_GLASS, "break_glass_limit", message)
    return None


def _cast(unit: Unit, approval: Approval, who: Identity, vote: str, reason: str, key: str) -> Approval:
    roles = unit.directory.roles[who.id]
    cast = Vote(who.id, vote, approval.digest, approval.version, roles, reason, key, unit.now_ms)
    voted = store.add_vote(unit.writer.connection, approval, cast)
    said: dict[str, Any] = {"vote": vote, "how": who.how, "roles": sorted(roles), "reason": cast.reason}
    if vote == DENY:
        return unit.change(voted, DENY, who.id, to=State.DENIED, **said)
    if not is_enough(unit, voted):
        return unit.change(voted, vote, who.id, **said)
    via = {"via": "break-glass" if vote == BREAK_GLASS else "quorum"}
    return unit.change(voted, vote, who.id, to=State.APPROVED, changes=via, **said)
