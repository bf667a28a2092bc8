"""What takes a while is counted once for many, an old value is given at once, and errors are not kept."""

import asyncio

import pytest

from backstay.web.insight.kept import Kept


def test_many_who_ask_have_it_counted_once() -> None:
    counted: list[str] = []

    async def count(key: str) -> str:
        counted.append(key)
        await asyncio.sleep(0)
        return key.upper()

    async def ask() -> None:
        kept = Kept(count, lambda _: 1000.0)
        assert await asyncio.gather(*(kept.get("a") for _ in range(9))) == ["A"] * 9
        assert await kept.get("b") == "B"
        assert await kept.get("a") == "A"

    asyncio.run(ask())
    assert counted == ["a", "b"]


def test_an_old_value_is_given_while_a_new_one_is_counted() -> None:
    values = iter([1, 2, 3])

    async def count(_: str) -> int:
        return next(values)

    async def ask() -> None:
        kept = Kept(count, lambda _: -1.0)
        assert await kept.get("a") == 1
        assert await kept.get("a") == 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await kept.get("a") == 2

    asyncio.run(ask())


def test_whoever_cannot_wait_gets_nothing_and_the_counting_goes_on() -> None:
    async def ask() -> None:
        go_on = asyncio.Event()

        async def count(_: str) -> str:
            await go_on.wait()
            return "done"

        kept = Kept(count, lambda _: 1000.0)
        assert await kept.get("a", wait_s=0.0) is None
        go_on.set()
        assert await kept.get("a") == "done"

    asyncio.run(ask())


def test_an_error_is_told_to_each_who_asks_and_not_kept() -> None:
    tries: list[int] = []

    async def count(_: str) -> str:
        tries.append(1)
        if len(tries) < 2:
            raise ValueError("broken")
        return "well"

    async def ask() -> None:
        kept = Kept(count, lambda _: 1000.0)
        with pytest.raises(ValueError, match="broken"):
            await kept.get("a")
        assert await kept.get("a") == "well"

    asyncio.run(ask())


def test_another_event_loop_counts_for_itself() -> None:
    async def count(_: str) -> str:
        await asyncio.sleep(0)
        return "value"

    kept = Kept(count, lambda _: -1.0)
    assert [asyncio.run(kept.get("a")) for _ in range(3)] == ["value"] * 3
