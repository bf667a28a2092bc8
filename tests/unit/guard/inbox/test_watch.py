import asyncio
import time

import pytest

from backstay.guard.inbox import watch
from backstay.guard.inbox.watch import Watch


class Looks:
    def __init__(self) -> None:
        self.says, self.count = "1", 0

    def __call__(self, about: str) -> str:
        self.count += 1
        return f"{about}:{self.says}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.02)


def test_many_who_wait_cost_one_look() -> None:
    looks = Looks()
    watching = Watch(looks, lambda: False)

    async def all_of_them() -> list[str]:
        seen = await watching.stamp()
        waiting = [asyncio.ensure_future(watching.changed("", seen, 10)) for _ in range(150)]
        while looks.count < 3:  # noqa: ASYNC110  looks come from a thread, and nothing tells of them
            await asyncio.sleep(0.005)
        before, looks.says = looks.count, "2"
        found = await asyncio.gather(*waiting)
        assert looks.count - before <= 3
        assert seen not in found
        return found

    assert len(set(asyncio.run(all_of_them()))) == 1


def test_a_fresh_stamp_is_never_an_old_one() -> None:
    looks = Looks()
    watching = Watch(looks, lambda: False)

    async def twice() -> tuple[str, str]:
        first = await watching.stamp("x")
        looks.says = "2"
        return first, await watching.stamp("x")

    first, second = asyncio.run(twice())
    assert first != second


def test_the_wait_is_bounded_and_ends_when_the_gateway_stops() -> None:
    stopping = False
    watching = Watch(Looks(), lambda: stopping)

    async def waits() -> tuple[float, float]:
        nonlocal stopping
        seen = await watching.stamp()
        began = time.monotonic()
        assert await watching.changed("", seen, 0.05) == seen
        first = time.monotonic() - began
        stopping = True
        began = time.monotonic()
        assert await watching.changed("", seen, 60) == seen
        return first, time.monotonic() - began

    first, second = asyncio.run(waits())
    assert 0.05 <= first < 5
    assert second < 5


def test_one_too_many_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_WAITING", 1)
    watching = Watch(Looks(), lambda: False)

    async def two() -> str:
        seen = await watching.stamp()
        first = asyncio.ensure_future(watching.changed("", seen, 60))
        await asyncio.sleep(0)
        second = await asyncio.wait_for(watching.changed("", seen, 60), 5)
        first.cancel()
        return "same" if second == seen else "other"

    assert asyncio.run(two()) == "same"
