from functools import partial

import pytest
from account_world import AccountWorld, principal

from backstay.web.accounts import api_tokens, directory, invitations, sessions
from backstay.web.accounts.directory import Account
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import AccountSettings, SessionSettings
from backstay.web.permissions import Permission, Role

SETTINGS = AccountSettings()


def change(
    world: AccountWorld, by: Account, whom: Account, role: Role | None = None, state: str | None = None
) -> Account:
    return world.do(partial(directory.change, by=principal(by), account_id=whom.id, role=role, state=state))


@pytest.mark.parametrize("name", ["", " ", "a b", "ada\0", "\u0430da", "x" * 65, "-ada", "ада", "a/b"])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(Refused) as refused:
        directory.check_name(name)
    assert refused.value.code == "name_refused"


def test_a_name_is_one_however_it_is_typed(world: AccountWorld) -> None:
    world.account(Role.RATER, "ada")
    assert world.read(lambda c: directory.find(c, " \uff21DA ")) is not None
    with pytest.raises(Refused) as refused:
        world.account(Role.RATER, "Ada")
    assert refused.value.status == 409


def test_whoever_is_disabled_is_out_at_once(world: AccountWorld) -> None:
    admin, rater = world.account(Role.ADMIN), world.account(Role.RATER)
    _, cookie = world.do(lambda unit: sessions.begin(unit, SETTINGS.session, account_id=rater.id))
    _, secret = world.do(lambda unit: api_tokens.make(unit, SETTINGS, principal(rater), "t", [Permission.RATE], 3600))
    found = world.do(lambda unit: directory.change(unit, principal(admin), rater.id, state="disabled"))
    assert found.state == "disabled" and found.permissions == frozenset()
    assert world.read(lambda c: sessions.find(c, SessionSettings(), cookie, world.now_ms)) is None
    assert world.read(lambda c: api_tokens.find(c, secret, world.now_ms)) is None


def test_another_role_gives_sessions_new_cookies(world: AccountWorld) -> None:
    admin, rater = world.account(Role.ADMIN), world.account(Role.RATER)
    _, cookie = world.do(lambda unit: sessions.begin(unit, SETTINGS.session, account_id=rater.id))
    world.do(lambda unit: directory.change(unit, principal(admin), rater.id, role=Role.LEAD))
    fresh = world.do(lambda unit: sessions.keep_up(unit, SETTINGS.session, cookie))
    assert fresh is not None
    for old, stands in ((cookie, False), (fresh, True)):
        found = world.read(partial(sessions.find, settings=SETTINGS.session, cookie=old, now_ms=world.now_ms))
        assert (found is not None) is stands


def test_the_last_admin_stays(world: AccountWorld) -> None:
    first, second = world.account(Role.ADMIN, "first"), world.account(Role.ADMIN, "second")
    world.do(lambda unit: directory.change(unit, principal(first), second.id, state="disabled"))
    for role, state in ((Role.LEAD, None), (None, "disabled")):
        with pytest.raises(Refused) as refused:
            change(world, second, first, role, state)
        assert refused.value.code == "last_admin"
    world.do(lambda unit: directory.change(unit, principal(first), second.id, state="active"))
    changed = world.do(lambda unit: directory.change(unit, principal(second), first.id, role=Role.LEAD))
    assert changed.role is Role.LEAD


def test_nobody_changes_their_own_role(world: AccountWorld) -> None:
    world.account(Role.ADMIN, "other")
    admin = world.account(Role.ADMIN, "self")
    for role in Role:
        with pytest.raises(Refused) as refused:
            change(world, admin, admin, role)
        assert refused.value.code == "own_account"


def test_invitations_of_somebody_who_is_no_admin_any_more_end(world: AccountWorld) -> None:
    first, second = world.account(Role.ADMIN, "first"), world.account(Role.ADMIN, "second")
    _, secret = world.do(
        lambda unit: invitations.invite(unit, SETTINGS, principal(second), Role.ADMIN, None, "a way back in")
    )
    world.do(lambda unit: directory.change(unit, principal(first), second.id, role=Role.RATER))
    with pytest.raises(Refused) as refused:
        world.read(lambda c: invitations.look(c, secret, world.now_ms))
    assert refused.value.code == "link_over"


def test_a_change_is_in_the_journal_with_who_and_whom(world: AccountWorld) -> None:
    admin, rater = world.account(Role.ADMIN), world.account(Role.RATER)
    world.do(lambda unit: directory.change(unit, principal(admin), rater.id, role=Role.LEAD, projects=("p",)))
    assert world.journal() == [
        {
            "by": admin.id,
            "via": "session",
            "what": "change",
            "whom": rater.id,
            "role_before": "rater",
            "role": "lead",
            "projects": '["p"]',
        }
    ]
