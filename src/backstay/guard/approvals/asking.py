"""Asking, cancelling, and editing: how an approval comes to be, and how it gives way without a vote."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backstay.guard.approvals import store
from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.held_action import (
    IDENTITY,
    HeldAction,
    check_text,
    digest_of,
    hashed_bytes,
    read_obligations,
)
from backstay.guard.approvals.people import Identity, plain_name
from backstay.guard.approvals.quorum import may_vote, stages_of
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.states import OPEN, State
from backstay.guard.approvals.unit import Answer, Unit
from backstay.policy import RequireApproval
from backstay.policy.rules import Outcome
from backstay.records import uuid7

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Current:
    """What policy and scans say of an action now: the effect, and the action with the present hashes and duties."""

    effect: Outcome
    action: HeldAction


def ask(unit: Unit, action: HeldAction) -> Answer:
    """Hold an action until people have decided. Asking twice under one key is asking once."""
    if len(action.principal) > MAX_NAME or len(action.key) > MAX_NAME:
        raise Refusal("too_large", f"a principal or key has more than {MAX_NAME} characters")
    check_text(action.key, action.exchange, *action.rules, *action.reasons)
    content = action.content()
    digest = digest_of(content)
    if action.key and (before := store.by_key(unit.writer.connection, action.principal, action.key)):
        if not _same_call(before.content, content):
            raise Refusal("key_reused", f"{action.principal!r} asked for another action under the key {action.key!r}")
        return Answer(before)
    if store.count_open(unit.writer.connection, action.principal) >= unit.settings.max_open:
        raise Refusal("too_many", f"{action.principal!r} has {unit.settings.max_open} open approvals, the most allowed")
    return Answer(unit.add(_new(unit, content, digest, action), action.principal, **_about(action)))


def cancel(unit: Unit, approval_id: str, by: str | Identity, reason: str) -> Answer:
    """Withdraw: by the requester, the owner, or anybody who may decide."""
    approval = unit.find(approval_id)
    name = by if isinstance(by, str) else by.id
    check_text(name, reason)
    if isinstance(by, str):
        asked = {plain_name(str(approval.content[who])) for who in ("principal", "owner")}
        allowed = plain_name(by) in asked
    else:
        allowed = may_vote(approval.stages, unit.directory.roles.get(by.id, frozenset()))
    if not allowed:
        return unit.refuse(approval, name, "cancel", "not_eligible", f"{name!r} may not cancel {approval.id}")
    if approval.state is State.CANCELLED:
        return Answer(approval)
    if approval.state not in OPEN:
        return unit.refuse(approval, name, "cancel", "not_pending", f"{approval.id} is {approval.state}")
    if approval.is_over(unit.now_ms):
        return Answer(unit.expire(approval))
    return Answer(unit.change(approval, "cancelled", name, to=State.CANCELLED, reason=reason))


def edit(
    unit: Unit, approval_id: str, editor: Identity, digest_shown: str, args: Mapping[str, Any], current: Current | None
) -> Answer:
    """Put an approval with other arguments in the place of this one; nobody has voted on it.

    `current` is what policy and scans say of the edit; None where nobody could run them yet: the new approval then
    waits for `recheck` before anybody can decide.
    """
    approval = unit.find(approval_id)
    if approval.state is State.SUPERSEDED and approval.editors_next(editor.id) == _editors_of(unit, approval):
        after = unit.find(approval.superseded_by)
        if after.content["args"] == dict(args):
            return Answer(after)
    if refused := _may_edit(unit, approval, editor, digest_shown):
        return refused
    if approval.is_over(unit.now_ms):
        return unit.refuse(unit.expire(approval), editor.id, "edit", "expired", f"{approval.id} has expired")
    if current is not None and current.effect == "deny":
        return unit.refuse(approval, editor.id, "edit", "policy_denies", "policy forbids the edited call")
    content = {**approval.content, "args": dict(args)}
    if current is not None:
        content = _with_policy(content, current)
    made = replace(
        _new(unit, content, digest_of(content), approval if current is None else current.action),
        editors=approval.editors_next(editor.id),
        supersedes=approval.id,
        unchecked=current is None,
        key="",
    )
    unit.change(
        approval, "edited", editor.id, to=State.SUPERSEDED, changes={"superseded_by": made.id}, successor=made.id
    )
    return Answer(unit.add(made, editor.id, supersedes=approval.id, unchecked=made.unchecked))


def recheck(unit: Unit, approval_id: str, version: int, current: Current) -> Answer:
    """Open an unchecked edit for decisions, or end it, by what policy and scans say of it now."""
    approval = unit.find(approval_id)
    if not approval.unchecked or approval.state is not State.PENDING or approval.version != version:
        return Answer(approval)
    if approval.is_over(unit.now_ms):
        return Answer(unit.expire(approval))
    if current.effect == "deny":
        return Answer(unit.change(approval, "policy_denies", "policy", to=State.STALE, policy=current.action.policy))
    content = _with_policy(dict(approval.content), current)
    expires_at_ms = min(approval.expires_at_ms, _expires_at_ms(unit, content))
    changes = {"content": content, "digest": digest_of(content), "unchecked": False, "expires_at_ms": expires_at_ms}
    return Answer(unit.change(approval, "rechecked", "policy", changes=changes, policy=current.action.policy))


def _may_edit(unit: Unit, approval: Approval, editor: Identity, digest_shown: str) -> Answer | None:
    def refuse(code: str, message: str) -> Answer:
        return unit.refuse(approval, editor.id, "edit", code, message)

    requested = unit.directory.known_as((approval.principal, str(approval.content["owner"])))
    if editor.id in requested:
        return refuse("self_approval", f"{editor.id} asked for {approval.id}; cancel it and ask anew")
    if not may_vote(approval.stages, unit.directory.roles.get(editor.id, frozenset())):
        return refuse("not_eligible", f"{editor.id} has none of the roles that {approval.id} needs")
    if approval.state is not State.PENDING:
        return refuse("not_pending", f"{approval.id} is {approval.state}; only what is pending can be edited")
    if digest_shown != approval.digest:
        return refuse("other_digest", f"{approval.id} is no longer what was shown")
    return None


def _editors_of(unit: Unit, approval: Approval) -> tuple[str, ...]:
    return unit.find(approval.superseded_by).editors


def _with_policy(content: Mapping[str, Any], current: Current) -> dict[str, Any]:
    """The content under the current policy. What it now allows outright still needs the votes it needed before."""
    now = current.action.content()
    duties = now["obligations"] if current.effect == "hold" else content["obligations"]
    return {**content, "policy": now["policy"], "tool_schema": now["tool_schema"], "obligations": duties}


def _expires_at_ms(unit: Unit, content: Mapping[str, Any]) -> int:
    obligations = read_obligations(content["obligations"])
    if not stages_of(obligations):
        raise Refusal("nobody_asked", "the call is held, and no rule says who may approve it")
    return unit.now_ms + int(1000 * min(o.expires_s for o in obligations if isinstance(o, RequireApproval)))


def _new(unit: Unit, content: Mapping[str, Any], digest: str, about: HeldAction | Approval) -> Approval:
    wait_s = unit.settings.escalate_after_s
    return Approval(
        id=uuid7(),
        state=State.PENDING,
        version=1,
        digest=digest,
        content=content,
        asked_at_ms=unit.now_ms,
        expires_at_ms=_expires_at_ms(unit, content),
        escalate_at_ms=None if wait_s is None else unit.now_ms + int(wait_s * 1000),
        rules=about.rules,
        reasons=about.reasons,
        exchange=about.exchange,
        key=about.key,
    )


def _same_call(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether two contents are one call, under whatever policy."""
    names = (*IDENTITY, "args", "tool_schema")
    return hashed_bytes([before[name] for name in names]) == hashed_bytes([after[name] for name in names])


def _about(action: HeldAction) -> dict[str, Any]:
    names = ("principal", "owner", "session", "action", "tool", "policy", "exchange")
    return {name: getattr(action, name) for name in names} | {"rules": list(action.rules)}
