import dataclasses
from hashlib import sha256

import pytest
from account_world import AccountWorld, principal
from sqlalchemy import select

from backstay.storage.account_tables import api_tokens as table
from backstay.web.accounts import api_tokens, directory
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import Permission, Role

SETTINGS = AccountSettings()
RATE, READ = Permission.RATE, Permission.READ_PROJECT


def make(world: AccountWorld, account: directory.Account, *scopes: Permission, holds_s: int = 3600) -> str:
    made = world.do(lambda unit: api_tokens.make(unit, SETTINGS, principal(account), "t", scopes, holds_s))
    return made[1]


def found(world: AccountWorld, secret: str) -> tuple[api_tokens.ApiToken, directory.Account]:
    return world.read(lambda c: api_tokens.find(c, secret, world.now_ms)) or pytest.fail("there is none")


def test_it_is_kept_as_a_hash_and_known_by_its_prefix(world: AccountWorld) -> None:
    secret = make(world, world.account(Role.LEAD), RATE)
    row = world.read(lambda c: c.execute(select(table)).one())
    assert secret.startswith("bst_") and len(secret) == 4 + 43
    assert row.sha256 == sha256(secret.encode()).hexdigest()
    assert secret not in str(row) and secret not in str(world.journal())


def test_scopes_never_go_beyond_what_the_owner_may_do_now(world: AccountWorld) -> None:
    admin, lead = world.account(Role.ADMIN), world.account(Role.LEAD)
    secret = make(world, lead, RATE, READ, Permission.EXPORT)
    token, owner = found(world, secret)
    assert api_tokens.permissions_of(token, owner, SETTINGS) == {RATE, READ, Permission.EXPORT}
    world.do(lambda unit: directory.change(unit, principal(admin), lead.id, role=Role.RATER))
    token, owner = found(world, secret)
    assert api_tokens.permissions_of(token, owner, SETTINGS) == {RATE}


@pytest.mark.parametrize(
    ("role", "scope"),
    [(Role.RATER, READ), (Role.ADMIN, Permission.MANAGE_ACCOUNTS), (Role.LEAD, Permission.READ_AUDIT)],
)
def test_nobody_gives_what_they_do_not_have(world: AccountWorld, role: Role, scope: Permission) -> None:
    with pytest.raises(Refused) as refused:
        make(world, world.account(role), scope)
    assert (refused.value.status, refused.value.code) == (403, "scope_refused")


def test_manage_accounts_is_given_where_the_settings_say_so(world: AccountWorld) -> None:
    admin = world.account(Role.ADMIN)
    allowed = AccountSettings(tokens_may_manage_accounts=True)
    _, secret = world.do(
        lambda unit: api_tokens.make(unit, allowed, principal(admin), "t", [Permission.MANAGE_ACCOUNTS], 60)
    )
    token, owner = found(world, secret)
    assert api_tokens.permissions_of(token, owner, allowed) == {Permission.MANAGE_ACCOUNTS}
    assert api_tokens.permissions_of(token, owner, SETTINGS) == frozenset(), "and is taken back with the setting"


def test_a_token_makes_no_tokens(world: AccountWorld) -> None:
    bearer = dataclasses.replace(principal(world.account(Role.LEAD)), via="token")
    with pytest.raises(Refused) as refused:
        world.do(lambda unit: api_tokens.make(unit, SETTINGS, bearer, "t", [RATE], 60))
    assert refused.value.code == "session_only"


def test_it_ends_and_is_revoked(world: AccountWorld) -> None:
    lead = world.account(Role.LEAD)
    short, long = make(world, lead, RATE, holds_s=60), make(world, lead, RATE)
    world.move(60)
    assert world.read(lambda c: api_tokens.find(c, short, world.now_ms)) is None
    token, _ = found(world, long)
    world.do(lambda unit: api_tokens.revoke(unit, principal(lead), lead.id, token.id))
    assert world.read(lambda c: api_tokens.find(c, long, world.now_ms)) is None
    assert world.journal()[-1]["what"] == "revoke_token"


def test_nobody_revokes_another_s(world: AccountWorld) -> None:
    ann, bob = world.account(Role.LEAD, "ann"), world.account(Role.LEAD, "bob")
    secret = make(world, ann, RATE)
    token, _ = found(world, secret)
    with pytest.raises(Refused) as refused:
        world.do(lambda unit: api_tokens.revoke(unit, principal(bob), bob.id, token.id))
    assert refused.value.status == 404
    assert found(world, secret)[0].id == token.id


def test_last_use_is_coarse(world: AccountWorld) -> None:
    secret = make(world, world.account(Role.LEAD), RATE)
    token, _ = found(world, secret)
    assert api_tokens.is_stale(token, world.now_ms)
    world.do(lambda unit: api_tokens.used(unit, token.id))
    world.move(599)
    assert not api_tokens.is_stale(found(world, secret)[0], world.now_ms)
    world.move(1)
    assert api_tokens.is_stale(found(world, secret)[0], world.now_ms)


@pytest.mark.parametrize("holds_s", [59, 31_536_001])
def test_it_holds_neither_too_short_nor_for_ever(world: AccountWorld, holds_s: int) -> None:
    with pytest.raises(Refused) as refused:
        make(world, world.account(Role.LEAD), RATE, holds_s=holds_s)
    assert refused.value.code == "expiry_refused"
