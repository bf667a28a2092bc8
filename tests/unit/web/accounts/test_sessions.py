from hashlib import sha256

import pytest
from account_world import AccountWorld
from sqlalchemy import select

from backstay.storage.account_tables import account_sessions
from backstay.web.accounts import sessions
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.sessions import Session
from backstay.web.accounts.settings import SessionSettings
from backstay.web.permissions import Role

SETTINGS = SessionSettings(idle_s=1000, absolute_s=5000, rotate_s=600, grace_s=10, most=3)


def begin(world: AccountWorld, account_id: str, **given: str) -> tuple[str, str]:
    return world.do(lambda unit: sessions.begin(unit, SETTINGS, account_id=account_id, **given))


def find(world: AccountWorld, cookie: str) -> Session | None:
    return world.read(lambda c: sessions.find(c, SETTINGS, cookie, world.now_ms))


def use(world: AccountWorld, cookie: str) -> str:
    """A request with this cookie; the one that the browser has after it. Fails where nobody is signed in."""
    found = find(world, cookie)
    assert found is not None
    if not found.to_write:
        return cookie
    return world.do(lambda unit: sessions.keep_up(unit, SETTINGS, cookie)) or cookie


def test_the_table_holds_no_cookie(world: AccountWorld) -> None:
    _, cookie = begin(world, world.account(Role.RATER).id)
    row = world.read(lambda c: c.execute(select(account_sessions)).one())
    assert row.sha256 == sha256(cookie.encode()).hexdigest()
    assert cookie not in str(row)
    assert len(cookie) >= 43


def test_an_old_cookie_of_the_browser_never_becomes_the_session(world: AccountWorld) -> None:
    rater = world.account(Role.RATER).id
    _, planted = begin(world, rater)
    _, cookie = begin(world, rater, replaces=planted)
    assert cookie != planted
    assert find(world, planted) is None and find(world, cookie) is not None


def test_it_ends_when_idle_and_at_the_absolute_end(world: AccountWorld) -> None:
    _, cookie = begin(world, world.account(Role.RATER).id)
    world.move(999)
    cookie = use(world, cookie)
    for _ in range(4):
        world.move(990)
        cookie = use(world, cookie)
    world.move(40)
    assert find(world, cookie) is not None
    world.move(1)
    assert find(world, cookie) is None
    _, idle = begin(world, world.account(Role.RATER, "two").id)
    world.move(1000)
    assert find(world, idle) is None


def test_use_is_written_once_a_minute_only(world: AccountWorld) -> None:
    _, cookie = begin(world, world.account(Role.RATER).id)
    world.move(59)
    assert not (find(world, cookie) or pytest.fail("there is none")).to_write
    world.move(1)
    assert (find(world, cookie) or pytest.fail("there is none")).to_write


def test_a_new_cookie_now_and_then_and_the_old_one_for_requests_under_way(world: AccountWorld) -> None:
    _, first = begin(world, world.account(Role.RATER).id)
    world.move(600)
    second = use(world, first)
    assert second != first
    assert use(world, first) == first, "a parallel request does not rotate again"
    world.move(5)
    assert use(world, second) == second
    world.move(9)
    assert find(world, first) is not None
    world.move(1)
    assert find(world, first) is None, "ten seconds after the new one was seen"
    assert use(world, second) == second


def test_a_lost_answer_signs_nobody_out(world: AccountWorld) -> None:
    _, first = begin(world, world.account(Role.RATER).id)
    world.move(600)
    lost = use(world, first)
    world.move(300)
    third = use(world, first)
    assert third not in (first, lost)
    assert find(world, lost) is None
    assert use(world, third) == third


def test_a_change_of_privilege_gives_a_new_cookie_and_no_grace(world: AccountWorld) -> None:
    rater = world.account(Role.RATER)
    session_id, first = begin(world, rater.id)
    fresh = world.do(lambda unit: sessions.rotate(unit, session_id))
    assert find(world, first) is None
    assert (find(world, fresh) or pytest.fail("there is none")).id == session_id


def test_the_session_used_longest_ago_makes_way(world: AccountWorld) -> None:
    rater, other = world.account(Role.RATER).id, world.account(Role.RATER, "other").id
    _, kept_of_other = begin(world, other)
    cookies = []
    for _ in range(4):
        world.move(1)
        cookies.append(begin(world, rater)[1])
    assert [find(world, cookie) is not None for cookie in cookies] == [False, True, True, True]
    assert find(world, kept_of_other) is not None


def test_only_one_s_own_sessions_are_listed_and_ended(world: AccountWorld) -> None:
    ann, bob = world.account(Role.RATER, "ann").id, world.account(Role.RATER, "bob").id
    ann_session, ann_cookie = begin(world, ann)
    begin(world, bob)
    assert [s.id for s in world.read(lambda c: sessions.listed(c, SETTINGS, ann, world.now_ms))] == [ann_session]
    with pytest.raises(Refused) as refused:
        world.do(lambda unit: sessions.end(unit, bob, ann_session))
    assert refused.value.status == 404
    assert find(world, ann_cookie) is not None
    world.do(lambda unit: sessions.end(unit, ann, ann_session))
    assert find(world, ann_cookie) is None


def test_sessions_that_are_over_are_swept(world: AccountWorld) -> None:
    rater = world.account(Role.RATER).id
    begin(world, rater)
    world.move(2000)
    begin(world, rater)
    assert len(world.read(lambda c: c.execute(select(account_sessions.c.id)).all())) == 1
