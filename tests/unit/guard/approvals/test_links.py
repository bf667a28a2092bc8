"""Links: one decision, one person, one digest, a short time; looking decides nothing."""

import pytest
from approval_world import REASON, World, journal, needs, refused

from backstay.errors import UsageError
from backstay.guard.approvals.links import Link, Links


def test_a_link_decides_once_for_whom_it_was_made(world: World) -> None:
    held = world.ask(obligations=needs((2, "finance")))
    token = world.approvals.make_link(held, "alice")
    before = world.approvals.get(held)
    for _ in range(3):
        assert world.approvals.open_link(token) == before
    with refused("link_invalid"):
        world.approvals.decide_by_link(token, "bob", "approve", REASON)
    assert world.approvals.decide_by_link(token, "alice", "approve", REASON).voters("approve").keys() == {"alice"}
    assert world.approvals.decide_by_link(token, "alice", "approve", REASON).state == "pending"
    for vote in ("deny", "break_glass"):
        with pytest.raises(Exception, match="key|another person"):
            world.approvals.decide_by_link(token, "alice", vote, REASON)
    assert len(world.approvals.get(held).votes) == 1


def test_two_links_of_one_person_are_one_vote(world: World) -> None:
    held = world.ask(obligations=needs((2, "finance")))
    for _ in range(2):
        world.approvals.decide_by_link(world.approvals.make_link(held, "alice"), "alice", "approve", REASON)
    assert world.state(held) == "pending"


def test_a_link_ends_with_its_time_and_with_the_approval(world: World) -> None:
    held = world.ask()
    token = world.approvals.make_link(held, "alice", 60)
    world.now_s += 60
    for attempt in (world.approvals.open_link, lambda t: world.approvals.decide_by_link(t, "alice", "deny", "")):
        with refused("link_invalid"):
            attempt(token)
    long = world.approvals.make_link(held, "alice", 10**6)
    world.now_s += 3600 - 60
    with refused("link_invalid"):
        world.approvals.open_link(long)


def test_an_altered_link_is_no_link(world: World) -> None:
    token = world.approvals.make_link(world.ask(), "alice")
    body, _, mac = token.partition(".")
    for broken in (
        "",
        ".",
        body,
        f"{body}.",
        f"{body}A.{mac}",
        f".{mac}",
        f"{body}.{mac}A",
        "x" * 5000,
        "\u00e9.\u00e9",
    ):
        with refused("link_invalid"):
            world.approvals.open_link(broken)
    other = Links(b"m" * 32).sign(Link("0" * 64, "x", "0" * 64, "alice", 2**50))
    with refused("link_invalid"):
        world.approvals.open_link(other)


def test_a_link_to_what_was_never_stored_decides_nothing(world: World) -> None:
    held = world.ask()
    forged = Links(b"l" * 32).sign(Link("0" * 64, held, world.approvals.get(held).digest, "alice", 2**50))
    with refused("link_invalid"):
        world.approvals.decide_by_link(forged, "alice", "approve", REASON)


def test_a_link_is_made_for_approvers_of_what_is_pending(world: World) -> None:
    held = world.ask()
    with refused("not_eligible"):
        world.approvals.make_link(held, "mallory")
    token = world.approvals.make_link(held, "carol")
    with refused("not_eligible"):
        world.approvals.decide_by_link(token, "carol", "approve", REASON)
    world.vote(held, "alice", "deny")
    with refused("not_pending"):
        world.approvals.make_link(held, "alice")
    assert token not in str(journal(world))


def test_without_a_key_there_are_no_links(world: World) -> None:
    world.approvals._links = None
    with pytest.raises(UsageError, match="link_signer"):
        world.approvals.open_link("x")
