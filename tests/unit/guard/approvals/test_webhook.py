"""Events: signed, stored with what they tell of, sent until confirmed, and never where they must not go."""

import hashlib
import hmac
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from approval_world import World

from backstay.errors import UsageError
from backstay.guard.approvals import Clock, Target, WebhookWorker, is_signed, targets_of
from backstay.guard.approvals.settings import Webhook
from backstay.guard.approvals.webhook import DeliveryFailed, post, signature
from backstay.guard.ledger import Ledger

SECRET = b"s" * 32


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it gets and answers what the test says."""

    def do_POST(self) -> None:
        server = cast("Any", self.server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((self.path, dict(self.headers), body))
        self.send_response(server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Any]:
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    cast("Any", server).got, cast("Any", server).status = [], 204
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def target(url: str, **changes: Any) -> Target:
    return Target(name="pager", url=url, secret=SECRET, **changes)


def worker(world: World, send: Any = post, url: str = "https://pager.example/x") -> WebhookWorker:
    clock = Clock(lambda: world.now_s, lambda: 0.0)
    return WebhookWorker(cast("Ledger", world.ledger), [target(url)], clock=clock, send=send)


def test_an_event_arrives_signed_and_without_arguments(world: World, receiver: Any) -> None:
    held = world.ask()
    assert worker(world, url=f"http://127.0.0.1:{receiver.server_port}/hook?a=b").deliver() == 1
    ((path, headers, body),) = receiver.got
    stamp, mac = headers["Backstay-Signature"].split(",")
    by_hand = hmac.new(SECRET, stamp[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert (path, mac) == ("/hook?a=b", f"v1={by_hand}")
    event = json.loads(body)
    assert (event["type"], event["approval"]["id"], event["id"]) == ("approval.asked", held, headers["Backstay-Event"])
    assert b"DE89" not in body


@pytest.mark.parametrize("status", [199 + 103, 400, 500, 303])
def test_anything_but_2xx_is_sent_again_and_redirects_are_not_followed(receiver: Any, status: int) -> None:
    receiver.status = status
    with pytest.raises(DeliveryFailed, match=str(status)):
        post(target(f"http://127.0.0.1:{receiver.server_port}"), "e", b"{}", 1)
    assert len(receiver.got) == 1


def test_what_fails_is_tried_again_with_growing_pauses_until_it_arrives(world: World) -> None:
    tries: list[float] = []

    def send(*_: Any) -> None:
        tries.append(world.now_s)
        if len(tries) < 5:
            raise DeliveryFailed("no answer")

    world.ask()
    sender = worker(world, send)
    for _ in range(40):
        sender.deliver()
        world.now_s += 0.5
    assert [after - before for before, after in itertools.pairwise(tries)] == [1.0, 2.0, 4.0, 8.0]
    with world.ledger.read() as connection:
        (row,) = connection.exec_driver_sql("SELECT attempts, next_at_ms, delivered_at_ms FROM approval_outbox")
    assert (row.attempts, row.next_at_ms) == (5, None)
    assert row.delivered_at_ms is not None


def test_two_workers_do_not_send_at_once_and_a_dead_one_is_replaced(world: World) -> None:
    world.ask()
    sent: list[str] = []

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker(world, dies).deliver()
    other = worker(world, lambda _t, event, *_: sent.append(event))
    assert other.deliver() == 0
    world.now_s += 400
    assert (other.deliver(), len(sent)) == (1, 1)


def test_an_event_for_a_webhook_that_is_gone_stays(world: World) -> None:
    world.ask()
    gone = WebhookWorker(cast("Ledger", world.ledger), [], clock=Clock(lambda: world.now_s, lambda: 0.0))
    assert gone.deliver() == 0
    with world.ledger.read() as connection:
        (row,) = connection.exec_driver_sql("SELECT last_error FROM approval_outbox")
    assert "no webhook 'pager'" in row.last_error


@pytest.mark.parametrize(
    "url",
    ["http://pager.example/x", "ftp://x/y", "https://", "https://u:p@x/", "https://x/#f", "//x", "https://x:99999/"],
)
def test_addresses_that_are_none_are_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        target(url)
    with pytest.raises(UsageError, match="32"):
        Target(name="x", url="https://x/", secret=b"short")


def test_a_private_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(DeliveryFailed, match="webhook pager: 10.0.0.1 .* not allowed"):
        post(target("https://10.0.0.1/"), "e", b"{}", 1)


def test_a_receiver_checks_signature_and_age() -> None:
    header = signature(SECRET, b"{}", 1000)
    assert is_signed(SECRET, header, b"{}", 1300)
    for secret, given, body, now_s in (
        (b"t" * 32, header, b"{}", 1000),
        (SECRET, header, b"{ }", 1000),
        (SECRET, header, b"{}", 1301),
        (SECRET, header, b"{}", 699),
        (SECRET, header + "0", b"{}", 1000),
        (SECRET, "t=x,v1=0", b"{}", 1000),
        (SECRET, "", b"{}", 0),
        (SECRET, "\u00e9", b"{}", 0),
    ):
        assert not is_signed(secret, given, body, now_s)


def test_secrets_are_files_beside_the_approvers(tmp_path: Path) -> None:
    path = tmp_path / "pager.key"
    path.write_bytes(b"k" * 40)
    path.chmod(0o600)
    (made,) = targets_of([Webhook(name="p", url="https://x/", secret_file="pager.key")], tmp_path)
    assert (made.secret, made.allow_private) == (b"k" * 40, False)
