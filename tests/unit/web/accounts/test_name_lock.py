from account_world import AccountWorld, digest
from sqlalchemy import select

from backstay.storage.account_tables import sign_in_failures
from backstay.web.accounts import name_lock
from backstay.web.accounts.settings import AccountSettings

SETTINGS = AccountSettings(lock_failures=3, lock_s=900)
KEY = name_lock.name_key(digest, "ada")


def fail(world: AccountWorld, times: int, key: str = KEY) -> list[bool]:
    return [world.do(lambda unit: name_lock.failed(unit, SETTINGS, key)) for _ in range(times)]


def locked(world: AccountWorld, key: str = KEY) -> bool:
    return world.read(lambda c: name_lock.is_locked(c, key, world.now_ms))


def test_a_name_is_locked_after_so_many_failures_and_opens_again(world: AccountWorld) -> None:
    assert fail(world, 3) == [False, False, True]
    assert locked(world) and not locked(world, name_lock.name_key(digest, "bob"))
    world.move(899)
    assert locked(world)
    world.move(1)
    assert not locked(world)


def test_failures_on_end_lock_it_again_and_an_hour_forgets_them(world: AccountWorld) -> None:
    assert fail(world, 6) == [False, False, True, False, False, True]
    world.move(3600)
    assert fail(world, 2) == [False, False]


def test_an_admin_opens_it(world: AccountWorld) -> None:
    fail(world, 3)
    assert world.do(lambda unit: name_lock.unlock(unit, KEY))
    assert not locked(world)
    assert fail(world, 2) == [False, False]


def test_what_is_kept_does_not_tell_which_names_were_tried(world: AccountWorld) -> None:
    fail(world, 1, name_lock.name_key(digest, "nobody-has-this"))
    row = world.read(lambda c: c.execute(select(sign_in_failures)).one())
    assert "nobody" not in str(row) and len(row.key) == 64


def test_old_failures_are_swept(world: AccountWorld) -> None:
    for number in range(5):
        fail(world, 1, name_lock.name_key(digest, f"name {number}"))
    world.move(3600)
    fail(world, 1)
    assert len(world.read(lambda c: c.execute(select(sign_in_failures.c.key)).all())) == 1
