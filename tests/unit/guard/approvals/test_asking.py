"""Asking, cancelling, editing."""

from pathlib import Path
from typing import Any

import pytest
from approval_world import POLICY, World, action, journal, needs, refused

from backstay.guard.approvals import Current, HeldAction, Identity, Settings

ALICE = Identity("alice", "token")
EDIT = {"amount": 10, "to": "DE89"}


def edited(world: World, held: str, args: dict[str, Any] = EDIT, who: str = "alice") -> str:
    digest = world.approvals.get(held).digest
    return world.approvals.edit(held, Identity(who, "token"), args, digest).id


def test_asking_twice_under_one_key_is_asking_once(world: World) -> None:
    first = world.ask(key="exchange-1/0")
    assert world.ask(key="exchange-1/0", policy="a" * 64) == first
    assert world.ask() != first
    assert world.ask(key="exchange-1/0", principal="another") != first
    with refused("key_reused"):
        world.ask(key="exchange-1/0", args={"amount": 5})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"obligations": ()}, "nobody_asked"),
        ({"args": {"x": float("nan")}}, "not_json"),
        ({"args": {"x": 2**53}}, "not_json"),
        ({"args": {"x": "\ud800"}}, "not_json"),
        ({"args": {"x": {1: 2}}}, "not_json"),
        ({"args": {"x": "y" * 262_144}}, "too_large"),
        ({"principal": "p" * 201}, "too_large"),
    ],
)
def test_what_cannot_be_shown_or_decided_is_refused(world: World, changes: dict[str, Any], code: str) -> None:
    with refused(code):
        world.ask(**changes)
    assert journal(world) == []


def test_a_deep_value_is_refused_and_not_a_crash(world: World) -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with refused("not_json"):
        world.ask(args={"x": deep})
    while isinstance(deep, list):
        deep = deep.pop()


def test_nobody_is_worn_down_by_questions(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(max_open=2))
    held = world.ask()
    world.ask()
    with refused("too_many"):
        world.ask()
    world.approvals.cancel(held, "svc-rita")
    world.ask()
    world.close()


def test_requester_owner_and_approvers_may_cancel(world: World) -> None:
    for by in ("Svc-Rita", "olga", ALICE):
        assert world.approvals.cancel(world.ask(), by).state == "cancelled"
    held = world.ask()
    for by in ("alice", Identity("frank", "token")):
        with refused("not_eligible"):
            world.approvals.cancel(held, by)
    for _ in range(2):
        world.approvals.cancel(held, "olga", "no longer wanted")
    world.vote(other := world.ask(), "alice", "deny")
    with refused("not_pending"):
        world.approvals.cancel(other, "olga")


def rechecking(effect: str, obligations: Any = None, seen: list[HeldAction] | None = None) -> Any:
    def recheck(draft: HeldAction) -> Current:
        if seen is not None:
            seen.append(draft)
        return Current(effect, action(args=draft.args, obligations=obligations, policy="a" * 64))  # type: ignore[arg-type]  # a test may pass any effect

    return recheck


def test_an_edit_is_another_approval_without_votes_and_without_its_editor(tmp_path: Path) -> None:
    seen: list[HeldAction] = []
    world = World(tmp_path / "g.db", recheck=rechecking("hold", seen=seen))
    held = world.ask()
    world.vote(held, "bob")
    made = world.approvals.get(edited(world, held))
    assert [dict(draft.args) for draft in seen] == [EDIT]
    assert (world.state(held), made.state, made.supersedes) == ("superseded", "pending", held)
    assert (made.content["args"], made.content["policy"], made.votes, made.unchecked) == (EDIT, "a" * 64, (), False)
    assert world.approvals.latest(held).id == made.id
    with refused("self_approval"):
        world.vote(made.id, "alice")
    assert [world.vote(made.id, who) for who in ("bob", "dave")] == ["pending", "approved"]
    assert world.claim(made.id, args=EDIT, policy="a" * 64)
    world.close()


def test_who_edited_once_never_counts_in_what_follows(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", recheck=rechecking("hold"))
    second = edited(world, edited(world, world.ask()), {"amount": 11}, "bob")
    for who in ("alice", "bob"):
        with refused("self_approval"):
            world.vote(second, who)
    world.close()


def test_policy_refuses_an_edit_and_what_was_held_stays(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", recheck=rechecking("deny"))
    held = world.ask()
    with refused("policy_denies"):
        edited(world, held)
    assert world.state(held) == "pending"
    world.close()


def test_an_edit_that_policy_allows_still_needs_the_votes(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", recheck=rechecking("allow", ()))
    made = edited(world, world.ask())
    assert world.approvals.get(made).stages == ((("finance",), 2),)
    world.close()


def test_sending_an_edit_twice_is_one_edit(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", recheck=rechecking("hold"))
    held = world.ask()
    digest = world.approvals.get(held).digest
    made = {world.approvals.edit(held, ALICE, EDIT, digest).id for _ in range(3)}
    assert len(made) == 1
    with refused("not_pending"):
        world.approvals.edit(held, ALICE, {"amount": 99}, digest)
    world.close()


@pytest.mark.parametrize(("who", "code"), [("rita", "self_approval"), ("frank", "not_eligible")])
def test_who_may_not_decide_may_not_edit(world: World, who: str, code: str) -> None:
    with refused(code):
        edited(world, world.ask(), who=who)


def test_an_edit_is_of_what_was_shown_and_in_time(world: World) -> None:
    held = world.ask()
    with refused("other_digest"):
        world.approvals.edit(held, ALICE, EDIT, "0" * 64)
    world.now_s += 3600
    with refused("expired"):
        edited(world, held)


def test_where_policy_cannot_be_run_the_edit_waits_for_it(world: World) -> None:
    made = edited(world, world.ask())
    assert world.approvals.get(made).unchecked
    with refused("unchecked"):
        world.vote(made, "bob")
    world.approvals.sweep()
    assert world.approvals.get(made).unchecked
    world.recheck = rechecking("hold", needs((1, "security")))
    assert world.restarted().sweep() == 1
    assert world.approvals.get(made).stages == ((("security",), 1),)
    assert world.vote(made, "carol") == "approved"
    assert world.approvals.sweep() == 0


def test_a_waiting_edit_that_policy_forbids_is_stale(world: World) -> None:
    made = edited(world, world.ask())
    world.recheck = rechecking("deny")
    world.restarted().sweep()
    assert world.state(made) == "stale"
    assert journal(world)[-1]["policy"] == "a" * 64 != POLICY


def test_a_masked_value_survives_an_edit_unread(world: World) -> None:
    from backstay.policy import Mask

    duties = (*needs((1, "finance")), Mask(args=("pin",)))
    held = world.ask(args={"pin": "4711", "amount": 1}, obligations=duties)
    shown = world.approvals.get(held).content["args"]
    made = world.approvals.get(edited(world, held, {**shown, "amount": 2}))
    assert made.content["args"] == {"pin": shown["pin"], "amount": 2}
    world.recheck = lambda draft: Current("hold", draft)
    world.restarted().sweep()
    world.vote(made.id, "bob")
    assert world.claim(made.id, args={"pin": "4711", "amount": 2}, obligations=duties)
