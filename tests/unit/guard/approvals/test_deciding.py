"""Who may decide, on what, until when, and which word is the last."""

import json
from pathlib import Path

import pytest
from approval_world import REASON, World, journal, needs, refused

from backstay.guard.approvals import Identity, Settings


def test_the_second_of_two_people_makes_it_approved(world: World) -> None:
    held = world.ask()
    assert world.vote(held, "alice") == "pending"
    assert world.vote(held, "alice") == "pending"
    assert world.vote(held, "bob") == "approved"
    assert world.approvals.get(held).via == "quorum"


def test_different_stages_need_different_people(world: World) -> None:
    held = world.ask(obligations=needs((1, "finance"), (1, "security")))
    assert world.vote(held, "dave") == "pending"
    assert world.vote(held, "bob") == "approved"


@pytest.mark.parametrize("who", ["rita", "olga"])
@pytest.mark.parametrize("vote", ["approve", "deny", "break_glass"])
def test_requester_and_owner_never_count_under_any_name(world: World, who: str, vote: str) -> None:
    held = world.ask(obligations=needs((1, "finance/security")))
    with refused("self_approval"):
        world.vote(held, who, vote)
    assert world.state(held) == "pending"
    assert journal(world)[-1] | {"by": who, "event": "refused", "code": "self_approval"} == journal(world)[-1]


@pytest.mark.parametrize("principal", ["SVC-rita", "\uff53vc-r\u0456ta", "svc-\u200brita", " Svc-Rita "])
def test_another_spelling_of_the_requester_is_the_requester(world: World, principal: str) -> None:
    held = world.ask(principal=principal)
    with refused("self_approval"):
        world.vote(held, "rita")


def test_roles_come_from_the_directory_and_others_have_no_say(world: World) -> None:
    held = world.ask()
    for who in ("carol", "frank", "nobody"):
        for vote in ("approve", "deny"):
            with refused("not_eligible"):
                world.vote(held, who, vote)
    world.roles["alice"] = ("janitor",)
    with refused("not_eligible"):
        world.vote(held, "alice")


def test_a_deny_is_final_even_after_the_last_approve(world: World) -> None:
    held = world.ask()
    world.vote(held, "alice")
    world.vote(held, "bob")
    assert world.vote(held, "dave", "deny") == "denied"
    for who, vote in (("erin", "approve"), ("erin", "deny")):
        with refused("not_pending"):
            world.vote(held, who, vote)
    with refused("not_approved"):
        world.claim(held)


def test_who_approved_may_still_deny(world: World) -> None:
    held = world.ask()
    world.vote(held, "alice")
    assert world.vote(held, "alice", "deny") == "denied"


def test_a_decision_at_the_very_end_of_its_time_is_too_late_without_a_sweep(world: World) -> None:
    held = world.ask()
    world.vote(held, "alice")
    world.now_s += 3599.999
    assert world.state(held) == "pending"
    world.now_s += 0.001
    assert world.state(held) == "expired"
    for vote in ("approve", "deny"):
        with refused("expired" if vote == "approve" else "not_pending"):
            world.vote(held, "bob", vote)
    assert [row["event"] for row in journal(world)] == ["asked", "approve", "expired", "refused", "refused"]


def test_a_clock_set_back_revives_nothing(world: World) -> None:
    first, second = world.ask(), world.ask()
    world.now_s += 3600
    with refused("expired"):
        world.vote(first, "alice")
    world.now_s -= 3600
    with refused("not_pending"):
        world.vote(first, "alice")
    with refused("expired"):
        world.vote(second, "alice")
    world.restarted()
    assert world.state(second) == "expired"


def test_a_vote_is_bound_to_the_digest_that_was_shown(world: World) -> None:
    held = world.ask()
    with refused("other_digest"):
        world.vote(held, "alice", digest_shown="0" * 64)


def test_the_same_key_is_one_vote_and_another_use_of_it_none(world: World) -> None:
    held, other = world.ask(), world.ask()
    for _ in range(3):
        assert world.vote(held, "alice", key="k") == "pending"
    assert len(world.approvals.get(held).votes) == 1
    assert world.vote(held, "bob", key="k") == "approved"
    assert world.vote(held, "alice", key="k") == "approved"
    with refused("key_reused"):
        world.vote(other, "alice", key="k")
    with refused("key_reused"):
        world.vote(held, "alice", "deny", key="k")


def test_a_vote_with_too_long_a_reason_or_no_key_is_not_cut_but_refused(world: World) -> None:
    held = world.ask()
    for changes in ({"reason": "x" * 4001}, {"key": ""}, {"key": "k" * 201}):
        with refused("too_large"):
            world.vote(held, "alice", **changes)


def test_text_that_no_database_holds_is_refused(world: World) -> None:
    held = world.ask()
    for changes in ({"reason": "\ud800"}, {"key": "\ud800"}):
        with refused("not_json"):
            world.vote(held, "alice", **changes)
    with refused("other_digest"):
        world.vote(held, "alice", digest_shown="\u00e9")
    with refused("not_json"):
        world.approvals.cancel(held, "olga", "\ud800")
    with refused("not_json"):
        world.ask(rules=("\ud800",))


def test_somebody_with_a_new_role_may_vote_again(world: World) -> None:
    held = world.ask(obligations=needs((1, "finance"), (1, "security")))
    world.vote(held, "alice")
    world.roles["alice"] = ("security",)
    assert world.vote(held, "bob") == "pending"
    assert world.vote(held, "alice") == "approved"


def test_the_glass_needs_two_people_a_reason_and_a_pager(world: World) -> None:
    held = world.ask(obligations=needs((5, "finance")))
    with refused("reason_missing"):
        world.vote(held, "erin", "break_glass", reason="  urgent  ")
    assert world.vote(held, "erin", "break_glass") == "pending"
    assert world.vote(held, "erin", "break_glass") == "pending"
    with refused("not_eligible"):
        world.vote(held, "alice", "break_glass")
    assert world.vote(held, "frank", "break_glass") == "approved"
    assert world.approvals.get(held).via == "break-glass"
    with world.ledger.read() as connection:
        bodies = [json.loads(row.body) for row in connection.exec_driver_sql("SELECT body FROM approval_outbox")]
    assert [body["type"] for body in bodies] == ["approval.asked", *["approval.break_glass"] * 3]


def test_the_glass_is_broken_a_few_times_only(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(webhooks=("pager",), break_glass_most=1, break_glass_window_s=60))
    first, second = world.ask(), world.ask()
    for held in (first, second):
        world.vote(held, "erin", "break_glass")
    assert world.vote(first, "frank", "break_glass") == "approved"
    with refused("break_glass_limit"):
        world.vote(second, "frank", "break_glass")
    world.now_s += 60
    assert world.vote(second, "frank", "break_glass") == "approved"
    world.close()


def test_nobody_to_page_no_glass_to_break(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings())
    with refused("break_glass_unpaged"):
        world.vote(world.ask(), "erin", "break_glass")
    world.close()


def test_a_link_cannot_break_the_glass(world: World) -> None:
    held = world.ask()
    digest = world.approvals.get(held).digest
    with refused("not_eligible"):
        world.approvals.decide(held, Identity("erin", "link"), "break_glass", digest, REASON, "k")


def test_unknown_ids_and_words_are_refused(world: World) -> None:
    with refused("not_found"):
        world.approvals.get("nothing")
    with refused("not_eligible"):
        world.vote(world.ask(), "alice", "maybe")
