import hashlib

import pytest

from backstay.guard.approvals import Identity
from backstay.guard.inbox.sessions import ABSOLUTE_S, IDLE_S, MOST_OF_ONE, Sessions

ALICE = Identity("alice", "token")


class Hand:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def sessions(hand: Hand) -> Sessions:
    return Sessions(hand)


def test_cookie_is_256_random_bits_and_only_its_hash_is_kept(sessions: Sessions) -> None:
    cookie = sessions.begin(ALICE, "h")
    assert len(cookie) == 43
    assert cookie != sessions.begin(ALICE, "h")
    assert cookie not in repr(vars(sessions))
    assert hashlib.sha256(cookie.encode()).hexdigest() in sessions._open
    found = sessions.find(cookie)
    assert found is not None and found.identity is ALICE and found.secret.hex() not in repr(found)


@pytest.mark.parametrize("cookie", ["", "x", "é" * 50, "\udcff"])
def test_unknown_cookie_is_nobody(sessions: Sessions, cookie: str) -> None:
    sessions.begin(ALICE, "h")
    assert sessions.find(cookie) is None


def test_idle_end(sessions: Sessions, hand: Hand) -> None:
    cookie = sessions.begin(ALICE, "h")
    hand.now_s += IDLE_S - 1
    assert sessions.find(cookie) is not None
    hand.now_s += IDLE_S - 1
    assert sessions.find(cookie, touch=False) is not None
    hand.now_s += 1
    assert sessions.find(cookie) is None
    hand.now_s -= 100
    assert sessions.find(cookie) is None, "what was over does not come back"


def test_absolute_end_however_busy(sessions: Sessions, hand: Hand) -> None:
    cookie = sessions.begin(ALICE, "h")
    used = 0
    while sessions.find(cookie) is not None:
        hand.now_s += IDLE_S / 2
        used += 1
    assert used == ABSOLUTE_S / (IDLE_S / 2)


def test_sign_in_never_takes_over_a_cookie_and_ends_the_old_one(sessions: Sessions) -> None:
    old = sessions.begin(ALICE, "h")
    new = sessions.begin(ALICE, "h", replaces=old)
    assert new != old
    assert sessions.find(old) is None
    assert sessions.find(new) is not None
    planted = "chosen-by-somebody-else"
    assert sessions.begin(ALICE, "h", replaces=planted) != planted
    assert sessions.find(planted) is None


def test_oldest_session_of_one_person_makes_way(sessions: Sessions) -> None:
    other = sessions.begin(Identity("bob", "token"), "h")
    cookies = [sessions.begin(ALICE, "h") for _ in range(MOST_OF_ONE + 2)]
    assert [sessions.find(cookie) is not None for cookie in cookies] == [False] * 2 + [True] * MOST_OF_ONE
    assert sessions.find(other) is not None


def test_sign_out(sessions: Sessions) -> None:
    cookie = sessions.begin(ALICE, "h")
    sessions.end(cookie)
    assert sessions.find(cookie) is None
    sessions.end("never was")


def test_form_token_holds_for_one_session_and_one_subject(sessions: Sessions) -> None:
    one, two = (sessions.find(sessions.begin(ALICE, "h")) for _ in range(2))
    assert one is not None and two is not None
    token = one.form_token("id", "digest")
    assert one.is_ours(token, "id", "digest")
    assert not two.is_ours(token, "id", "digest")
    for other in (("id", "digest2"), ("id2", "digest"), ("iddigest",), ("id", "digest", ""), ("id\0digest",)):
        assert not one.is_ours(token, *other)
    assert not one.is_ours("", "id", "digest")
    assert not one.is_ours("é\udcff", "id", "digest")
