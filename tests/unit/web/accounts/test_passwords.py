import asyncio
import threading
from typing import Any

import argon2
import pytest

from backstay.errors import IntegrityError
from backstay.web.accounts.passwords import Passwords
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import PasswordSettings

CHEAP = PasswordSettings(memory_kib=8, passes=1, at_once=2, waiting=3)


def test_a_hash_is_argon2id_with_the_parameters_of_the_settings() -> None:
    async def run() -> tuple[str, list[bool]]:
        passwords = Passwords(PasswordSettings(memory_kib=64, passes=2, lanes=2))
        stored = await passwords.hashed("a lamp under green water")
        tried = [await passwords.verify(stored, text) for text in ("a lamp under green water", "A lamp")]
        passwords.close()
        return stored, tried

    stored, tried = asyncio.run(run())
    assert stored.startswith("$argon2id$v=19$m=64,t=2,p=2$")
    assert tried == [True, False]
    assert argon2.PasswordHasher().verify(stored, "a lamp under green water")


def test_hashes_of_other_parameters_are_told() -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x")
    assert not Passwords(CHEAP).is_old(old)
    assert Passwords(PasswordSettings(memory_kib=16, passes=1)).is_old(old)


class Counting:
    """A hasher that tells the parameters of each hash that it verified."""

    def __init__(self, hasher: argon2.PasswordHasher) -> None:
        self._hasher, self.seen = hasher, list[str]()

    def verify(self, stored: str, password: str) -> bool:
        self.seen.append(stored.split("$")[3])
        return self._hasher.verify(stored, password)


def test_nobody_s_password_costs_as_much_as_somebody_s() -> None:
    passwords = Passwords(CHEAP)
    stored = passwords._hasher.hash("right")
    counting = Counting(passwords._hasher)
    passwords._hasher = counting  # type: ignore[assignment]  # only what `verify` needs

    async def run() -> list[bool]:
        return [await passwords.verify(s, p) for s, p in ((stored, "right"), (stored, "wrong"), (None, "right"))]

    assert asyncio.run(run()) == [True, False, False]
    assert counting.seen == ["m=8,t=1,p=1"] * 3


def test_the_dummy_never_matches() -> None:
    passwords = Passwords(CHEAP)
    passwords._dummy = passwords._hasher.hash("guess")
    assert asyncio.run(passwords.verify(None, "guess")) is False


def test_a_flood_is_turned_away_and_hashes_at_most_so_many_at_once() -> None:
    passwords = Passwords(CHEAP)
    gate, running, most = threading.Event(), [0], [0]
    lock = threading.Lock()

    def work() -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(10)
        with lock:
            running[0] -= 1
        return "done"

    async def run() -> list[Any]:
        waiting = [asyncio.ensure_future(passwords._run(work)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await passwords._run(work)
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "5"})
        waiting[4].cancel()
        gate.set()
        return await asyncio.gather(*waiting[:4])

    assert asyncio.run(run()) == ["done"] * 4
    assert most[0] == 2
    assert passwords._under_way == 0


def test_a_broken_hash_is_no_wrong_password() -> None:
    with pytest.raises(IntegrityError):
        asyncio.run(Passwords(CHEAP).verify("not a hash", "x"))
