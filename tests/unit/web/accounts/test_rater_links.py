import dataclasses

import pytest
from account_world import AccountWorld, digest, principal
from sqlalchemy import delete, insert, select

from backstay.storage.account_tables import rater_links as table
from backstay.storage.console_tables import rater_stats
from backstay.web.accounts import rater_links, sessions
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.rater_links import LinkOrder, RaterLink
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import AccountSettings, LinkSettings
from backstay.web.permissions import Role

REFUSE, MOVE = AccountSettings(), AccountSettings(link=LinkSettings(second_browser="move"))


@pytest.fixture
def lead(world: AccountWorld) -> Principal:
    for name in ("p", "q"):
        world.project(name)
    return principal(world.account(Role.LEAD))


def make(world: AccountWorld, lead: Principal, *ids: str, project: str = "p") -> list[tuple[RaterLink, str]]:
    order = LinkOrder(project, ids, 2, 3600)
    return world.do(lambda unit: rater_links.make(unit, REFUSE, digest, lead, order))


def begin(world: AccountWorld, token: str, cookie: str = "", settings: AccountSettings = REFUSE) -> str:
    return world.do(lambda unit: rater_links.begin(unit, settings, digest, token, browser="b", cookie=cookie))[1]


def is_open(world: AccountWorld, cookie: str) -> bool:
    return world.read(lambda c: sessions.find(c, REFUSE.session, cookie, world.now_ms)) is not None


def over(world: AccountWorld, token: str) -> bool:
    try:
        world.read(lambda c: rater_links.look(c, digest, token, world.now_ms))
    except Refused as refused:
        return refused.status == 404
    return False


def test_each_person_has_a_pseudonym_and_another_one_in_another_project(world: AccountWorld, lead: Principal) -> None:
    (ann, _), (bob, _) = make(world, lead, "PID-ann", "PID-bob")
    (elsewhere, _) = make(world, lead, "PID-ann", project="q")[0]
    assert len({ann.rater_id, bob.rater_id, elsewhere.rater_id}) == 3
    rows = str(world.read(lambda c: c.execute(select(table)).all())) + str(world.journal())
    assert "PID-ann" not in rows
    assert digest(b"PID-ann") not in rows, "nor a digest that who has the key to one use could look up for another"


def test_a_second_link_for_a_person_keeps_the_rater_and_ends_the_first(world: AccountWorld, lead: Principal) -> None:
    first, old = make(world, lead, "ann")[0]
    world.move(1)
    second, new = make(world, lead, "ann")[0]
    assert first.rater_id == second.rater_id and first.id == second.id
    assert over(world, old) and not over(world, new)


@pytest.mark.parametrize("place", [8, 45, -1])
def test_a_changed_token_is_none(world: AccountWorld, lead: Principal, place: int) -> None:
    _, token = make(world, lead, "ann")[0]
    other = "0" if token[place] != "0" else "1"
    changed = token[:place] + other + (token[place + 1 :] if place != -1 else "")
    assert len(changed) == len(token) and over(world, changed)


def test_a_made_up_token_costs_no_query() -> None:
    for token in ("", "brl_", "brl_x.1.y", f"brl_{'0' * 36}.{10**13}.{'0' * 64}"):
        with pytest.raises(Refused):
            rater_links.look(None, digest, token, 0)  # type: ignore[arg-type]  # it is not asked


def test_it_ends(world: AccountWorld, lead: Principal) -> None:
    _, token = make(world, lead, "ann")[0]
    world.move(3599)
    assert not over(world, token)
    world.move(1)
    assert over(world, token)


def test_a_second_browser_is_refused_until_the_first_is_done(world: AccountWorld, lead: Principal) -> None:
    _, token = make(world, lead, "ann")[0]
    first = begin(world, token)
    with pytest.raises(Refused) as refused:
        begin(world, token)
    assert (refused.value.status, refused.value.code) == (409, "link_in_use")
    assert is_open(world, first)
    again = begin(world, token, cookie=first)
    assert is_open(world, again) and not is_open(world, first), "the same browser goes on, with a new cookie"
    world.do(lambda unit: sessions.end_by_cookie(unit, again))
    assert is_open(world, begin(world, token))


def test_or_the_session_moves_there(world: AccountWorld, lead: Principal) -> None:
    _, token = make(world, lead, "ann")[0]
    first = begin(world, token, settings=MOVE)
    second = begin(world, token, settings=MOVE)
    assert is_open(world, second) and not is_open(world, first)
    assert [act["what"] for act in world.journal()] == ["make", "begin", "move"]


def test_revoking_ends_its_session_and_stays(world: AccountWorld, lead: Principal) -> None:
    link, token = make(world, lead, "ann")[0]
    cookie = begin(world, token)
    world.do(lambda unit: rater_links.revoke(unit, lead, "p", link.id))
    assert over(world, token) and not is_open(world, cookie)
    with pytest.raises(Refused) as refused:
        make(world, lead, "ann")
    assert refused.value.code == "link_revoked"


def test_a_lead_of_other_projects_makes_and_revokes_none(world: AccountWorld, lead: Principal) -> None:
    link, token = make(world, lead, "ann")[0]
    other = dataclasses.replace(lead, projects=frozenset({"q"}))
    for attempt in (
        lambda: make(world, other, "eve"),
        lambda: world.do(lambda unit: rater_links.revoke(unit, other, "p", link.id)),
        lambda: world.do(lambda unit: rater_links.revoke(unit, other, "q", link.id)),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.status == 404
    assert not over(world, token)


def test_the_code_comes_with_the_last_task(world: AccountWorld, lead: Principal) -> None:
    link, _ = make(world, lead, "ann")[0]
    assert world.read(lambda c: rater_links.progress(c, link)).done == 0
    for done, code in ((1, ""), (2, link.completion_code)):
        judged(world, link.rater_id, done)
        found = world.read(lambda c: rater_links.progress(c, link))
        assert (found.done, found.wanted, found.code) == (done, 2, code)
    assert len(link.completion_code) == 10


def test_each_link_stands_with_what_its_rater_has_judged(world: AccountWorld, lead: Principal) -> None:
    ann, ben = (link for link, _ in make(world, lead, "ann", "ben"))
    judged(world, ben.rater_id, 7)
    found = world.read(lambda c: rater_links.standing(c, "p"))
    assert {link.id: done for link, done in found} == {ann.id: 0, ben.id: 7}
    assert [link.id for link, _ in found] == sorted((ann.id, ben.id))
    assert world.read(lambda c: rater_links.standing(c, "p", after=found[0][0].id)) == found[1:]
    assert world.read(lambda c: rater_links.standing(c, "q")) == []


def judged(world: AccountWorld, rater_id: str, count: int) -> None:
    """Have the console's own count of this rater's judgments in `p` stand at `count`."""
    row: dict[str, object] = {column.name: 0 for column in rater_stats.columns if not column.nullable}
    row |= {"project": "p", "rater_id": rater_id, "status": "active", "pace": "{}", "judged": count}
    world.do(lambda unit: unit.connection.execute(delete(rater_stats)))
    world.do(lambda unit: unit.connection.execute(insert(rater_stats).values(row)))
