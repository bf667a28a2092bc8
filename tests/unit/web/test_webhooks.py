"""Webhooks: told in the transaction in which it happens, signed, sent until confirmed, given up, sent again by hand."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_site import NOW_MS, ConsoleSite, console_site
from sqlalchemy import select

from backstay.client import check_webhook
from backstay.errors import IntegrityError
from backstay.guard.checked_post import PostFailed
from backstay.guard.sealing import Seals
from backstay.storage.webhook_tables import webhooks
from backstay.web.accounts.refusal import Refused
from backstay.web.webhooks import hooks, outbox, signing
from backstay.web.webhooks.delivering import Deliveries
from backstay.web.webhooks.events import announce
from backstay.web.webhooks.hooks import check_target

URL = "https://hooks.example.org/x"
DAY_S = 86_400


class Receiver:
    """Keeps what it is sent and answers what the test says."""

    def __init__(self) -> None:
        self.status: int | str = 204
        self.got: list[tuple[str, bytes, dict[str, str]]] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str], private: bool) -> int:
        self.got.append((url, body, headers))
        if isinstance(self.status, str):
            raise PostFailed(self.status)
        return self.status

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body, _ in self.got]


class Hooks:
    """A console with webhooks, and what they are sent."""

    def __init__(self, site: ConsoleSite) -> None:
        self.site, self.receiver = site, Receiver()
        self.seals = Seals(site.console.ledger, hooks.PURPOSE)

    def make(self, *events: Any, url: str = URL) -> tuple[str, str]:
        made, secret = self.site.console.write_now(
            lambda unit: hooks.make(unit, self.seals, "admin", url, events or ("item.done",), "")
        )
        return made.id, secret

    def announce(self, event: Any = "item.done", **data: Any) -> int:
        return self.site.console.write_now(lambda unit: announce(unit, event, data))

    def send(self) -> int:
        async def once() -> int:
            deliveries = Deliveries(self.site.console, self.receiver)
            try:
                return await deliveries.once()
            finally:
                deliveries.close()

        return asyncio.run(once())

    def deliveries(self, hook: str) -> list[outbox.Delivery]:
        with self.site.console.engine.connect() as connection:
            return outbox.listed(connection, hook)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Hooks]:
    with console_site(tmp_path, webhook_attempts=4) as site:
        yield Hooks(site)


def test_an_event_goes_to_those_that_want_it_signed_as_the_standard_says(world: Hooks) -> None:
    _, secret = world.make("item.done", "judgment.created")
    world.make("import.done")
    assert world.announce("item.done", project="p", item="i") == 1
    assert world.send() == 1
    ((url, body, headers),) = world.receiver.got
    by_hand = hmac.new(
        base64.b64decode(secret.removeprefix("whsec_")),
        f"{headers['webhook-id']}.{NOW_MS // 1000}.".encode() + body,
        hashlib.sha256,
    )
    assert headers["webhook-signature"] == "v1," + base64.b64encode(by_hand.digest()).decode()
    assert (url, headers["webhook-timestamp"]) == (URL, str(NOW_MS // 1000))
    event = check_webhook(secret, headers, body, now_s=NOW_MS / 1000)
    assert event == {
        "type": "item.done",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {"project": "p", "item": "i"},
    }
    assert world.send() == 0


def test_the_example_of_the_standard_webhooks_specification_is_signed_alike() -> None:
    key = signing.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signing.headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_event_of_a_unit_that_fails_is_never_told(world: Hooks) -> None:
    world.make()

    def work(unit: Any) -> None:
        announce(unit, "item.done", {})
        raise Refused(409, "conflict", "no")

    with pytest.raises(Refused):
        world.site.console.write_now(work)
    assert world.send() == 0


def test_a_target_that_fails_is_asked_again_ever_more_rarely_and_then_given_up(world: Hooks) -> None:
    hook, _ = world.make()
    world.announce()
    world.receiver.status = 500
    waited_s = []
    while (found := world.deliveries(hook)[0]).state == "waiting":
        waited_s.append(((found.next_at_ms or 0) - world.site.clock()) / 1000)
        world.site.clock.now_ms = found.next_at_ms or 0
        assert world.send() == 1
    assert waited_s == [0, 5, 10, 20]
    assert (found.state, found.attempts, found.next_at_ms, found.last_error) == (
        "dead",
        4,
        None,
        "the target answered 500",
    )
    world.site.clock.move(DAY_S)
    assert world.send() == 0
    world.receiver.status = 200
    world.site.console.write_now(lambda unit: outbox.redeliver(unit, hook, found.id, "admin"))
    assert world.send() == 1
    assert world.deliveries(hook)[0].state == "delivered"
    assert len({headers["webhook-id"] for _, _, headers in world.receiver.got}) == 1


def test_a_target_that_is_down_is_left_alone_and_holds_no_other_up(world: Hooks) -> None:
    down, _ = world.make(url="https://down.example.org/")
    world.make()
    for number in range(3):
        world.announce(number=number)
    world.receiver.status = "no answer"
    assert world.send() == 6
    assert len(world.receiver.got) == 2  # One of each: after a failure the rest of a row waits.
    world.receiver.status = 200
    assert world.send() == 0
    world.site.clock.move(5)
    assert world.send() == 6
    assert len(world.receiver.got) == 8
    assert {delivery.state for delivery in world.deliveries(down)} == {"delivered"}


def test_while_a_secret_is_replaced_both_sign_and_a_day_later_only_the_new_one(world: Hooks) -> None:
    hook, old = world.make()
    _, new = world.site.console.write_now(lambda unit: hooks.rotate(unit, world.seals, "admin", hook))
    for wait_s, holds in ((0, [True, True]), (DAY_S, [False, True])):
        world.site.clock.move(wait_s)
        world.announce()
        world.send()
        _, body, headers = world.receiver.got[-1]
        assert [_holds(secret, headers, body, world.site.clock()) for secret in (old, new)] == holds


def _holds(secret: str, headers: dict[str, str], body: bytes, now_ms: int) -> bool:
    try:
        check_webhook(secret, headers, body, now_s=now_ms / 1000)
    except IntegrityError:
        return False
    return True


def test_the_secret_is_not_in_the_database(world: Hooks) -> None:
    hook, secret = world.make()
    with world.site.console.engine.connect() as connection:
        row = connection.execute(select(webhooks)).one()
        assert hooks.keys_of(connection, world.seals, hook, NOW_MS) == [signing.key_of(secret)]
    assert signing.key_of(secret) not in row.sealed_secret
    assert secret not in repr(row)


def test_what_a_webhook_is_told_while_it_is_off_is_not_kept_and_what_waited_waits(world: Hooks) -> None:
    hook, _ = world.make()
    world.announce(number=1)
    world.site.console.write_now(lambda unit: hooks.change(unit, "admin", hook, state="off"))
    assert (world.announce(number=2), world.send()) == (0, 0)
    world.site.console.write_now(lambda unit: hooks.change(unit, "admin", hook, state="on"))
    assert world.send() == 1
    assert json.loads(world.receiver.got[0][1])["data"] == {"number": 1}


def test_confirmed_events_are_deleted_after_their_time_and_dead_ones_stay(world: Hooks) -> None:
    hook, _ = world.make()
    world.announce()
    world.send()
    world.site.clock.move(8 * DAY_S)
    world.announce()
    world.send()
    assert len(world.deliveries(hook)) == 1


def test_a_webhook_that_is_removed_is_told_nothing_more(world: Hooks) -> None:
    hook, _ = world.make()
    world.announce()
    world.site.console.write_now(lambda unit: hooks.remove(unit, "admin", hook))
    assert world.send() == 0
    acts = [row["did"] for row in _acts(world)]
    assert acts == ["create", "remove"]


def _acts(world: Hooks) -> list[dict[str, Any]]:
    with world.site.console.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT payload FROM journal WHERE kind = 'console.webhook' ORDER BY seq")
        return [json.loads(row.payload) for row in rows]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "https://localhost/x",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://100.64.0.1/",
    ],
)
def test_targets_of_this_machine_and_the_own_network_are_refused(url: str) -> None:
    with pytest.raises(Refused, match="does not go to"):
        check_target(url, private=False)
    check_target(url.replace("169.254.169.254/latest/meta-data", "192.168.0.1/"), private=True)


@pytest.mark.parametrize("change", ["body", "id", "time", "late", "early", "secret"])
def test_a_receiver_refuses_what_was_changed_or_is_old(change: str) -> None:
    secret, at_s = signing.new_secret(), 1_800_000_000
    headers = signing.headers([signing.key_of(secret)], "msg_1", at_s, b"{}")
    assert check_webhook(secret, headers, b"{}", now_s=at_s + 299) == {}
    given = headers | {"id": {"webhook-id": "msg_2"}, "time": {"webhook-timestamp": str(at_s + 1)}}.get(change, {})
    now_s = at_s + {"late": 301, "early": -301}.get(change, 0)
    with pytest.raises(IntegrityError):
        check_webhook(
            signing.new_secret() if change == "secret" else secret,
            given,
            b"{ }" if change == "body" else b"{}",
            now_s=now_s,
        )
