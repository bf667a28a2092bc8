import pytest

from backstay.guard.inbox import lockout
from backstay.guard.inbox.lockout import MOST, WINDOW_S, Attempts, network_of


class Hand:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def fail(attempts: Attempts, times: int, name: str = "alice", address: str = "192.0.2.1") -> None:
    for _ in range(times):
        attempts.failed(name, address)


def test_locked_after_so_many_failures_until_the_window_has_passed() -> None:
    hand = Hand()
    attempts = Attempts(hand)
    fail(attempts, MOST["pair"] - 1)
    assert attempts.wait_s("alice", "192.0.2.1") == 0
    hand.now_s += 10
    fail(attempts, 1)
    assert attempts.wait_s("alice", "192.0.2.1") == WINDOW_S - 10
    hand.now_s += WINDOW_S - 10.5
    assert attempts.wait_s("alice", "192.0.2.1") == 1
    hand.now_s += 0.5
    assert attempts.wait_s("alice", "192.0.2.1") == 0


def test_failing_in_anothers_name_does_not_lock_them_out_elsewhere() -> None:
    attempts = Attempts(Hand())
    fail(attempts, MOST["pair"])
    assert attempts.wait_s("alice", "192.0.2.1") > 0
    assert attempts.wait_s("alice", "198.51.100.9") == 0
    assert attempts.wait_s("bob", "192.0.2.1") == 0


def test_an_address_that_tries_many_names_is_locked() -> None:
    attempts = Attempts(Hand())
    for number in range(MOST["address"]):
        attempts.failed(f"name-{number}", "192.0.2.1")
    assert attempts.wait_s("carol", "192.0.2.1") > 0
    assert attempts.wait_s("carol", "192.0.2.2") == 0


def test_a_name_tried_from_everywhere_is_locked_in_the_end() -> None:
    attempts = Attempts(Hand())
    for number in range(MOST["name"]):
        attempts.failed("alice", f"198.51.100.{number}")
    assert attempts.wait_s("alice", "203.0.113.1") > 0


def test_success_forgets_the_pair_only() -> None:
    attempts = Attempts(Hand())
    fail(attempts, MOST["pair"])
    attempts.succeeded("alice", "192.0.2.1")
    assert attempts.wait_s("alice", "192.0.2.1") == 0
    fail(attempts, MOST["address"] - MOST["pair"], name="bob")
    assert attempts.wait_s("alice", "192.0.2.1") > 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "MAX_TRACKED", 30)
    attempts = Attempts(Hand())
    for number in range(500):
        attempts.failed(f"n{number}" * 100, f"198.51.{number % 250}.1")
    assert len(attempts._failures) == 30


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_network(address: str, network: str) -> None:
    assert network_of(address) == network
