"""Links for raters without an account: each for one person, in one project, for a time.

A link is `brl_ID.EXPIRES.MAC`, with a MAC under the project's digest key, so that a made-up link costs no query. The id
that the rater has elsewhere (at a panel, say) is kept as a keyed pseudonym only.
"""

import base64
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from backstay.storage.account_tables import account_sessions, rater_links
from backstay.storage.console_tables import projects, rater_stats
from backstay.storage.unit import Unit
from backstay.web.accounts import sessions
from backstay.web.accounts.one_time import new_id
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.refusal import Refused, not_here
from backstay.web.accounts.settings import AccountSettings

Digest = Callable[[bytes], str]
PREFIX = "brl_"
_TOKEN = re.compile(r"brl_([0-9a-f-]{36})\.([0-9]{1,15})\.([0-9a-f]{64})")
MOST_AT_ONCE = 1000
_CODE_CHARS = 10
_table = rater_links


@dataclass(frozen=True, slots=True)
class RaterLink:
    """What is known of a link."""

    id: str
    project: str
    rater_id: str
    wanted: int
    completion_code: str
    made_by: str
    created_ms: int
    expires_ms: int
    begun_ms: int | None
    revoked_ms: int | None


@dataclass(frozen=True, slots=True)
class LinkProgress:
    """How far a rater has come; `code` is empty before the end."""

    done: int
    wanted: int
    code: str


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """What links are to be made: for whom, how many tasks each, for how long, and the code that a panel asks for."""

    project: str
    external_ids: Sequence[str]
    wanted: int
    holds_s: int
    completion_code: str = ""


def make(
    unit: Unit, settings: AccountSettings, digest: Digest, by: Principal, order: LinkOrder
) -> list[tuple[RaterLink, str]]:
    """Links and their tokens, in the order of the ids; a second link for the same person replaces the first."""
    by.check_enter(order.project)
    if unit.connection.execute(select(projects.c.id).where(projects.c.id == order.project)).first() is None:
        raise not_here("project")
    if not 60 <= order.holds_s <= settings.link.most_s:
        raise Refused(400, "expiry_refused", f"{order.holds_s} s", cure=f"60 to {settings.link.most_s} s")
    if len(order.external_ids) > MOST_AT_ONCE or len(set(order.external_ids)) < len(order.external_ids):
        raise Refused(400, "ids_refused", "too many ids, or one twice", cure=f"at most {MOST_AT_ONCE} different ones")
    made = [_make_one(unit, digest, by, order, external_id) for external_id in order.external_ids]
    unit.note(
        "console.rater_links",
        {"by": by.account_id, "what": "make", "project": order.project, "links": [link.id for link in made]},
    )
    return [(link, token_of(digest, link)) for link in made]


def token_of(digest: Digest, link: RaterLink) -> str:
    """The token of a link."""
    return f"{PREFIX}{link.id}.{link.expires_ms}.{_mac(digest, link.id, str(link.expires_ms))}"


def look(connection: Connection, digest: Digest, token: str, now_ms: int) -> RaterLink:
    """The link of a token; raises Refused 404 for every token that does not hold."""
    found = _TOKEN.fullmatch(token)
    if found is None or not hmac.compare_digest(_mac(digest, found[1], found[2]), found[3]):
        raise _over()
    link = find(connection, found[1], now_ms)
    if link is None or link.expires_ms != int(found[2]):
        raise _over()
    return link


def find(connection: Connection, link_id: str, now_ms: int) -> RaterLink | None:
    """A link that holds, by its id."""
    row = connection.execute(select(_table).where(_table.c.id == link_id)).first()
    return None if row is None or row.revoked_ms is not None or row.expires_ms <= now_ms else _link(row)


def begin(
    unit: Unit, settings: AccountSettings, digest: Digest, token: str, *, browser: str, cookie: str
) -> tuple[RaterLink, str]:
    """Begin or go on with a link in this browser; its cookie. Raises Refused 409 while another one is at work."""
    link = look(unit.connection, digest, token, unit.now_ms)
    elsewhere = _elsewhere(unit, settings, link.id, cookie)
    if elsewhere and settings.link.second_browser == "refuse":
        raise Refused(
            409,
            "link_in_use",
            "this link is at work in another browser",
            cure="go on there, or sign out there first",
        )
    unit.connection.execute(delete(account_sessions).where(account_sessions.c.link_id == link.id))
    if link.begun_ms is None:
        unit.connection.execute(update(_table).where(_table.c.id == link.id).values(begun_ms=unit.now_ms))
    _, fresh = sessions.begin(unit, settings.session, link_id=link.id, browser=browser, replaces=cookie)
    what = "move" if elsewhere else "begin"
    unit.note("console.rater_links", {"by": f"link:{link.id}", "what": what, "project": link.project})
    return link, fresh


def progress(connection: Connection, link: RaterLink) -> LinkProgress:
    """How many tasks the rater has done in the project, and the code once they are enough."""
    query = select(rater_stats.c.judged).where(
        rater_stats.c.project == link.project, rater_stats.c.rater_id == link.rater_id
    )
    done = connection.execute(query).scalar() or 0
    return LinkProgress(done, link.wanted, link.completion_code if done >= link.wanted else "")


def listed(connection: Connection, project: str, after: str = "", limit: int = 100) -> list[RaterLink]:
    """The links of a project by id, those behind `after`."""
    query = select(_table).where(_table.c.project == project, _table.c.id > after).order_by(_table.c.id).limit(limit)
    return [_link(row) for row in connection.execute(query)]


def standing(connection: Connection, project: str, after: str = "", most: int = 100) -> list[tuple[RaterLink, int]]:
    """The same links, each with how many tasks its rater has judged in the project."""
    found = listed(connection, project, after, most)
    query = select(rater_stats.c.rater_id, rater_stats.c.judged).where(
        rater_stats.c.project == project, rater_stats.c.rater_id.in_([link.rater_id for link in found])
    )
    judged = {row.rater_id: row.judged for row in connection.execute(query)}
    return [(link, judged.get(link.rater_id, 0)) for link in found]


def revoke(unit: Unit, by: Principal, project: str, link_id: str) -> None:
    """End a link and whatever session it has; raises Refused 404 for one of another project."""
    by.check_enter(project)
    query = update(_table).where(_table.c.id == link_id, _table.c.project == project, _table.c.revoked_ms.is_(None))
    if not unit.connection.execute(query.values(revoked_ms=unit.now_ms)).rowcount:
        raise not_here("rater link")
    unit.connection.execute(delete(account_sessions).where(account_sessions.c.link_id == link_id))
    unit.note("console.rater_links", {"by": by.account_id, "what": "revoke", "project": project, "links": [link_id]})


def pseudonym_of(digest: Digest, project: str, external_id: str) -> str:
    """What is kept of the id that a rater has elsewhere; another one in each project."""
    return digest(b"\0".join((b"backstay.rater-link.external", project.encode(), external_id.encode())))


def _make_one(unit: Unit, digest: Digest, by: Principal, order: LinkOrder, external_id: str) -> RaterLink:
    pseudonym = pseudonym_of(digest, order.project, external_id)
    values: dict[str, Any] = {
        "wanted": order.wanted,
        "made_by": by.account_id,
        "created_ms": unit.now_ms,
        "expires_ms": unit.now_ms + order.holds_s * 1000,
    }
    same = (_table.c.project == order.project) & (_table.c.pseudonym == pseudonym)
    row = unit.connection.execute(select(_table).where(same)).first()
    if row is not None and row.revoked_ms is not None:
        raise Refused(
            409, "link_revoked", f"the link of {external_id[:64]!r} was revoked", cure="leave this person out"
        )
    if row is None:
        link_id = new_id()
        values |= {"id": link_id, "project": order.project, "pseudonym": pseudonym, "rater_id": f"x-{pseudonym[:24]}"}
        values["completion_code"] = order.completion_code or _code(digest, link_id)
        unit.connection.execute(insert(_table).values(values))
    else:
        values |= {"completion_code": order.completion_code or row.completion_code}
        unit.connection.execute(update(_table).where(same).values(values))
    return _link(unit.connection.execute(select(_table).where(same)).one())


def _elsewhere(unit: Unit, settings: AccountSettings, link_id: str, cookie: str) -> bool:
    own = sessions.find(unit.connection, settings.session, cookie, unit.now_ms)
    if own is not None and own.link_id == link_id:
        return False
    live = sessions.of_link(unit.connection, settings.session, link_id, unit.now_ms)
    return bool(live)


def _mac(digest: Digest, link_id: str, expires: str) -> str:
    return digest(f"backstay.rater-link.token\0{link_id}\0{expires}".encode())


def _code(digest: Digest, link_id: str) -> str:
    raw = bytes.fromhex(digest(f"backstay.rater-link.code\0{link_id}".encode()))
    return base64.b32encode(raw).decode()[:_CODE_CHARS]


def _over() -> Refused:
    return Refused(404, "link_over", "this link does not hold, or not any more", cure="ask whoever sent it")


def _link(row: Row[Any]) -> RaterLink:
    return RaterLink(
        row.id,
        row.project,
        row.rater_id,
        row.wanted,
        row.completion_code,
        row.made_by,
        row.created_ms,
        row.expires_ms,
        row.begun_ms,
        row.revoked_ms,
    )
