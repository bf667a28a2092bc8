"""Why approvals are refused: one code each, the HTTP status that the gateway answers with, and the cure."""

from typing import NamedTuple

from backstay.errors import BackstayError


class Reason(NamedTuple):
    """What a refusal is known by outside."""

    status: int
    cure: str


REASONS: dict[str, Reason] = {
    "not_found": Reason(404, "list what is open: backstay approve ls"),
    "not_authenticated": Reason(401, "give the token that belongs to this name in the approvers file"),
    "not_eligible": Reason(403, "ask somebody who has one of the roles that `show` names"),
    "self_approval": Reason(403, "ask somebody who neither requested, nor owns, nor edited it"),
    "not_pending": Reason(409, "look at its state; ask again for the action where it is still wanted"),
    "not_approved": Reason(409, "wait for it: GET /v1/approvals/{id} with Prefer: wait=50"),
    "already_used": Reason(409, "ask again for the action: an approval is good for one execution"),
    "expired": Reason(410, "ask again for the action"),
    "other_digest": Reason(409, "show it again and decide on what is shown now"),
    "other_action": Reason(409, "ask for approval of this action itself"),
    "policy_denies": Reason(403, "the current policy forbids it: `backstay guard explain`; no approval overrides that"),
    "changed": Reason(409, "arguments or tool schema are not those approved: ask again for the action"),
    "demands_more": Reason(409, "the current policy demands more: it waits for approval again under the same id"),
    "quorum_lost": Reason(409, "somebody who approved no longer may: it waits for approval again"),
    "unchecked": Reason(409, "the gateway runs policy and scans on the edit at its next sweep; then decide"),
    "key_reused": Reason(422, "give every decision a key of its own"),
    "reason_missing": Reason(422, "say why, in at least 10 characters"),
    "wrong_token": Reason(409, "only the worker that claimed it may report its outcome"),
    "outcome_differs": Reason(409, "an outcome is reported once; the first one stands"),
    "lease_over": Reason(409, "look whether the effect happened; ask again for the action where it did not"),
    "break_glass_limit": Reason(429, "wait for the window to pass, or get the approvals that policy asks for"),
    "break_glass_unpaged": Reason(409, "configure a webhook: breaking the glass must page somebody"),
    "link_invalid": Reason(403, "ask for a new link: this one is used, expired, altered or another person's"),
    "too_many": Reason(429, "decide or cancel what is open before asking for more"),
    "too_large": Reason(413, "split the call: all of it must be read by a person"),
    "not_json": Reason(422, "send arguments that JSON can hold: no NaN, no integers beyond 2**53, no lone surrogates"),
    "nobody_asked": Reason(422, "add require_approval with roles to the rule that holds it"),
}
"""Every code. `status` is what the gateway answers with."""


class Refusal(BackstayError):
    """An approval, or something asked of one, was refused."""

    def __init__(self, code: str, message: str, *, cure: str | None = None) -> None:
        super().__init__(message, cure=cure or REASONS[code].cure)
        self.code = code
        self.status = REASONS[code].status
