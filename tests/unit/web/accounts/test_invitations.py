import pytest
from account_world import AccountWorld, principal
from sqlalchemy import select

from backstay.storage.account_tables import account_invitations
from backstay.web.accounts import directory, invitations, sessions
from backstay.web.accounts.one_time import secret_sha256
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import Role

SETTINGS = AccountSettings(invitation_s=1000)


def over(world: AccountWorld, secret: str) -> bool:
    try:
        world.read(lambda c: invitations.look(c, secret, world.now_ms))
    except Refused as refused:
        return refused.status == 404
    return False


def accept(world: AccountWorld, secret: str, name: str) -> directory.Account:
    return world.do(lambda unit: invitations.accept(unit, secret_sha256(secret), name, "", "hash"))


def test_the_first_admin_by_a_link_that_only_an_empty_console_gives(world: AccountWorld) -> None:
    first = world.do(invitations.setup) or pytest.fail("there is none")
    second = world.do(invitations.setup) or pytest.fail("there is none")
    assert over(world, first) and not over(world, second), "the newest holds"
    assert accept(world, second, "ada").role is Role.ADMIN
    assert world.do(invitations.setup) is None


def test_a_setup_link_is_worth_nothing_once_there_is_an_account(world: AccountWorld) -> None:
    secret = world.do(invitations.setup) or pytest.fail("there is none")
    world.account(Role.RATER)
    assert over(world, secret)
    with pytest.raises(Refused):
        accept(world, secret, "eve")


def test_a_setup_link_ends_after_a_day(world: AccountWorld) -> None:
    secret = world.do(invitations.setup) or pytest.fail("there is none")
    world.move(invitations.SETUP_S - 1)
    assert not over(world, secret)
    world.move(1)
    assert over(world, secret)


def test_an_invitation_makes_one_account_of_its_role(world: AccountWorld) -> None:
    admin = world.account(Role.ADMIN)
    made, secret = world.do(
        lambda unit: invitations.invite(unit, SETTINGS, principal(admin), Role.REVIEWER, ("p", "q"), "Rosa")
    )
    account = accept(world, secret, "rosa")
    assert (account.role, account.projects) == (Role.REVIEWER, ("p", "q"))
    assert over(world, secret)
    with pytest.raises(Refused):
        accept(world, secret, "rosa2")
    assert world.journal()[-1] == {
        "by": account.id,
        "what": "join",
        "whom": account.id,
        "role": "reviewer",
        "invitation": made.id,
        "invited_by": admin.id,
    }


def test_the_table_holds_no_secret(world: AccountWorld) -> None:
    admin = world.account(Role.ADMIN)
    _, secret = world.do(lambda unit: invitations.invite(unit, SETTINGS, principal(admin), Role.RATER, None, ""))
    row = world.read(lambda c: c.execute(select(account_invitations)).one())
    assert secret not in str(row) and secret not in str(world.journal())


def test_a_taken_name_leaves_the_invitation_as_it_was(world: AccountWorld) -> None:
    admin = world.account(Role.ADMIN, "ada")
    _, secret = world.do(lambda unit: invitations.invite(unit, SETTINGS, principal(admin), Role.RATER, None, ""))
    with pytest.raises(Refused) as refused:
        accept(world, secret, "ada")
    assert refused.value.code == "name_taken"
    assert not over(world, secret)


def test_invitations_end_and_are_withdrawn(world: AccountWorld) -> None:
    admin = principal(world.account(Role.ADMIN))
    made, first = world.do(lambda unit: invitations.invite(unit, SETTINGS, admin, Role.RATER, None, ""))
    _, second = world.do(lambda unit: invitations.invite(unit, SETTINGS, admin, Role.RATER, None, ""))
    world.do(lambda unit: invitations.withdraw(unit, admin, made.id))
    assert over(world, first) and not over(world, second)
    world.move(1000)
    assert over(world, second)
    assert world.read(lambda c: invitations.listed(c, world.now_ms)) == []


def test_a_link_for_a_new_password_signs_the_account_out_everywhere(world: AccountWorld) -> None:
    admin, rater = principal(world.account(Role.ADMIN)), world.account(Role.RATER)
    _, cookie = world.do(lambda unit: sessions.begin(unit, SETTINGS.session, account_id=rater.id))
    _, old = world.do(lambda unit: invitations.reset(unit, SETTINGS, admin, rater.id))
    _, secret = world.do(lambda unit: invitations.reset(unit, SETTINGS, admin, rater.id))
    assert over(world, old)
    account = accept(world, secret, "another name that is not looked at")
    assert (account.id, account.name) == (rater.id, "rater")
    assert world.read(lambda c: directory.find(c, "rater")) == (rater, "hash")
    assert world.read(lambda c: sessions.find(c, SETTINGS.session, cookie, world.now_ms)) is None


def test_no_new_password_for_a_disabled_account(world: AccountWorld) -> None:
    admin, rater = principal(world.account(Role.ADMIN)), world.account(Role.RATER)
    _, secret = world.do(lambda unit: invitations.reset(unit, SETTINGS, admin, rater.id))
    world.do(lambda unit: directory.change(unit, admin, rater.id, state="disabled"))
    with pytest.raises(Refused):
        accept(world, secret, "")
    with pytest.raises(Refused) as refused:
        world.do(lambda unit: invitations.reset(unit, SETTINGS, admin, rater.id))
    assert refused.value.code == "disabled"
