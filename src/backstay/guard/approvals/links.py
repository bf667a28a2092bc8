"""Links for mail and chat: each is good for one decision of one person on one digest, for a short time.

Reading a link decides nothing: mail scanners and previews follow links. The decision is a separate request that sends
the link's token in its body.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import insert, select, update

from backstay.guard.approvals import store
from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.deciding import BREAK_GLASS, decide
from backstay.guard.approvals.held_action import check_text
from backstay.guard.approvals.people import Identity
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.states import State
from backstay.guard.approvals.unit import Answer, Unit
from backstay.records import canonical_json
from backstay.storage.keys import digest_key
from backstay.storage.tables import approval_links

MAX_TOKEN = 2000
_PURPOSE = b"backstay approval links 1"


class Link(NamedTuple):
    """What a link says, once its signature holds."""

    id: str
    approval_id: str
    digest: str
    person: str
    expires_at_ms: int


class Links:
    """Signs and reads links with a key of its own."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, keys_dir: Path) -> "Links":
        """With the key that follows from the project's; another one than what digests of contents are made with."""
        return cls(hmac.new(digest_key(keys_dir), _PURPOSE, hashlib.sha256).digest())

    def sign(self, link: Link) -> str:
        """The token of a link."""
        body = _base64(canonical_json(list(link)))
        return f"{body}.{_base64(self._mac(body))}"

    def read(self, token: str, now_ms: int) -> Link:
        """The link behind a token; refuses one that is altered or too old. Changes nothing: this is what GET may do."""
        body, _, mac = token.partition(".")
        try:
            right = len(token) <= MAX_TOKEN and hmac.compare_digest(_unbase64(mac), self._mac(body))
        except (binascii.Error, ValueError):
            right = False
        if not right:
            raise Refusal("link_invalid", "the link is altered or incomplete")
        link = Link(*json.loads(_unbase64(body)))
        if now_ms >= link.expires_at_ms:
            raise Refusal("link_invalid", "the link has expired")
        return link

    def _mac(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode(), hashlib.sha256).digest()


def make(unit: Unit, links: Links, approval_id: str, person: str, lifetime_s: float) -> tuple[Approval, str]:
    """A link for one person to decide on what is pending now; it never outlives the approval."""
    approval = unit.find(approval_id)
    if approval.state is not State.PENDING or approval.is_over(unit.now_ms):
        raise Refusal("not_pending", f"{approval.id} is {approval.state}")
    if person not in unit.directory.people:
        raise Refusal("not_eligible", f"no approver {person!r}")
    expires_at_ms = min(unit.now_ms + int(lifetime_s * 1000), approval.expires_at_ms)
    link = Link(secrets.token_hex(32), approval.id, approval.digest, person, expires_at_ms)
    unit.note(approval, "link_made", person, link=_public(link), expires_at_ms=expires_at_ms)
    row = link._asdict() | {"id": _public(link), "used_at_ms": None}
    unit.writer.connection.execute(insert(approval_links).values(row))
    return approval, links.sign(link)


def decide_by_link(unit: Unit, links: Links, token: str, audience: str, vote: str, reason: str) -> Answer:
    """Decide as the person a link was made for; `audience` is whom the channel says it delivered it to."""
    check_text(audience, reason)
    link = links.read(token, unit.now_ms)
    if audience != link.person or vote == BREAK_GLASS:
        approval = unit.find(link.approval_id)
        return unit.refuse(approval, audience, vote, "link_invalid", "the link was made for another person or decision")
    key = f"link:{_public(link)}"
    cast = store.vote_by_key(unit.writer.connection, link.person, key)
    if cast is None and _is_used(unit, link):
        return unit.refuse(unit.find(link.approval_id), audience, vote, "link_invalid", "the link was used")
    answer = decide(unit, link.approval_id, Identity(link.person, "link"), vote, link.digest, reason, key)
    if answer.refusal is None and cast is None:
        unused = (approval_links.c.id == _public(link)) & approval_links.c.used_at_ms.is_(None)
        unit.writer.connection.execute(update(approval_links).where(unused).values(used_at_ms=unit.now_ms))
    return answer


def _is_used(unit: Unit, link: Link) -> bool:
    query = select(approval_links.c.used_at_ms).where(approval_links.c.id == _public(link))
    row = unit.writer.connection.execute(query).first()
    return row is None or row.used_at_ms is not None


def _public(link: Link) -> str:
    """What the database knows a link by: from it nobody can make the link."""
    return hashlib.sha256(link.id.encode()).hexdigest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
