"""Once, by one worker, under the policy of the moment."""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from approval_world import World, action, journal, needs, refused

from backstay.errors import UsageError
from backstay.guard.approvals import Current, Refusal, Settings
from backstay.guard.ledger import Ledger
from backstay.policy import Redact


def approved(world: World, **changes: Any) -> str:
    held = world.ask(**changes)
    world.vote(held, "alice")
    world.vote(held, "bob")
    return held


def test_claimed_once_and_finished_once(world: World) -> None:
    held = approved(world)
    token = world.claim(held)
    assert world.state(held) == "executing"
    with refused("already_used"):
        world.claim(held)
    for _ in range(2):
        assert world.approvals.finish(token, "executed").state == "executed"
    with refused("outcome_differs"):
        world.approvals.finish(token, "failed")
    with refused("already_used"):
        world.claim(held)


def test_what_is_not_approved_is_not_executed(world: World) -> None:
    held = world.ask()
    with refused("not_approved"):
        world.claim(held)
    with refused("not_found"):
        world.approvals.finish("no.token", "executed")
    with refused("wrong_token"):
        world.approvals.finish(f"{held}.guess", "executed")


def test_a_digest_of_no_letters_of_ours_is_another_digest(world: World) -> None:
    held = approved(world)
    with refused("other_digest"):
        world.approvals.claim(held, "\u00e9", Current("hold", action()), "w")


def test_another_token_reports_nothing(world: World) -> None:
    held = approved(world)
    world.claim(held)
    with refused("wrong_token"):
        world.approvals.finish(f"{held}.guess", "executed")
    assert world.state(held) == "executing"


def test_a_lease_without_an_outcome_is_unknown_and_stays_so(world: World) -> None:
    held = approved(world)
    token = world.claim(held, lease_s=10)
    world.now_s += 10
    assert world.state(held) == "unknown"
    with refused("lease_over"):
        world.approvals.finish(token, "executed", "it was slow")
    assert world.state(held) == "unknown"
    assert journal(world)[-1]["event"] == "late_outcome"
    with refused("already_used"):
        world.claim(held)


@pytest.mark.parametrize("lease_s", [0, -1, 86_401, float("nan")])
def test_a_lease_has_an_end(world: World, lease_s: float) -> None:
    with pytest.raises(UsageError, match="lease_s"):
        world.claim(approved(world), lease_s=lease_s)


def test_an_approval_expires_before_it_is_used(world: World) -> None:
    held = approved(world)
    world.now_s += 3600
    with refused("expired"):
        world.claim(held)


@pytest.mark.parametrize("name", ["principal", "owner", "session", "action", "tool", "resource"])
def test_an_approval_is_for_nobody_and_nothing_else(world: World, name: str) -> None:
    held = approved(world)
    with refused("other_action"):
        world.claim(held, "hold", 60.0, **{name: "another"})
    assert world.state(held) == "approved"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"args": {"amount": 101, "to": "DE89"}}, "changed"),
        ({"args": {"amount": "100", "to": "DE89"}}, "changed"),
        ({"tool_schema": "6" * 64}, "changed"),
        ({"effect": "deny"}, "policy_denies"),
        ({"effect": "deny", "args": {}}, "policy_denies"),
    ],
)
def test_what_changed_or_is_now_forbidden_makes_it_stale(world: World, changes: dict[str, Any], code: str) -> None:
    held = approved(world)
    with refused(code):
        world.claim(held, **changes)
    assert world.state(held) == "stale"
    with refused("not_approved"):
        world.claim(held)


@pytest.mark.parametrize(
    "obligations",
    [needs((3, "finance")), needs((2, "security")), needs((2, "finance"), (1, "security"))],
)
def test_a_stricter_policy_asks_again_with_fresh_votes(world: World, obligations: Any) -> None:
    held = approved(world)
    before = world.approvals.get(held)
    with refused("demands_more"):
        world.claim(held, policy="a" * 64, obligations=obligations)
    after = world.approvals.get(held)
    assert (after.state, after.digest != before.digest, after.voters("approve")) == ("pending", True, {})
    assert after.expires_at_ms == before.expires_at_ms
    with refused("other_digest"):
        world.vote(held, "dave", digest_shown=before.digest)


def test_reopened_and_approved_again_it_runs(world: World) -> None:
    held = approved(world)
    stricter: dict[str, Any] = {"policy": "a" * 64, "obligations": needs((3, "finance"))}
    with refused("demands_more"):
        world.claim(held, **stricter)
    assert [world.vote(held, who) for who in ("alice", "bob", "erin")] == ["pending", "pending", "approved"]
    assert world.claim(held, **stricter)


@pytest.mark.parametrize("changes", [{"obligations": needs((1, "finance"))}, {"effect": "allow", "obligations": ()}])
def test_a_newer_policy_that_demands_no_more_lets_it_run(world: World, changes: dict[str, Any]) -> None:
    held = approved(world)
    assert world.claim(held, policy="a" * 64, **changes)
    assert journal(world)[-1]["policy"] == "a" * 64


def test_any_other_policy_asks_again_where_it_is_so_configured(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(void_on_policy_change=True))
    held = approved(world)
    with refused("demands_more"):
        world.claim(held, policy="a" * 64)
    world.close()


def test_another_duty_than_was_shown_asks_again(world: World) -> None:
    held = approved(world)
    with refused("demands_more"):
        world.claim(held, obligations=(*needs((2, "finance")), Redact(kinds=("secret",))))


def test_who_lost_the_role_no_longer_counts(world: World) -> None:
    held = approved(world)
    world.roles["alice"] = ("janitor",)
    with refused("quorum_lost"):
        world.claim(held)
    assert world.state(held) == "pending"
    world.roles["alice"] = ("finance",)
    assert world.vote(held, "alice") == "approved"


def test_a_requester_who_became_known_under_that_name_no_longer_counts(world: World) -> None:
    held = world.ask(principal="agent-7")
    world.vote(held, "bob")
    world.vote(held, "alice")
    world.aliases["bob"] = ("Agent-7",)
    with refused("quorum_lost"):
        world.claim(held, principal="agent-7")


def test_masked_values_are_bound_and_not_stored(world: World) -> None:
    secret = "the pin is 4711"
    duties = (*needs((2, "finance")), *_mask("pin"))
    held = approved(world, args={"pin": secret, "to": "DE89"}, obligations=duties)
    assert secret.encode() not in world.approvals.rendered(held)
    with world.ledger.read() as connection:
        assert secret not in str(connection.exec_driver_sql("SELECT record FROM approvals").all())
    masked = world.approvals.get(held).content["args"]
    with refused("changed"):
        world.claim(held, args=masked, obligations=duties)
    again = approved(world, args={"pin": secret, "to": "DE89"}, obligations=duties)
    assert world.claim(again, args={"pin": secret, "to": "DE89"}, obligations=duties)


def _mask(name: str) -> tuple[Any, ...]:
    from backstay.policy import Mask

    return (Mask(args=(name,)),)


def racing(count: int, attempt: Callable[[int], Any]) -> list[Any]:
    """What each of `count` threads got that started together."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = attempt(index)
        except Refusal as refusal:
            results[index] = refusal.code

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_many_racing_threads_one_gets_the_token(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "g.db", keys_dir=tmp_path / "keys") as ledger:
        world = World(tmp_path / "g.db", ledger=ledger)
        for _ in range(5):
            held = approved(world)
            digest = world.approvals.get(held).digest
            now = Current("hold", action())

            def claim(n: int, held: str = held, digest: str = digest, now: Current = now) -> str:
                return world.approvals.claim(held, digest, now, f"w{n}").token

            got = racing(8, claim)
            assert sorted(answer == "already_used" for answer in got) == [False] + [True] * 7


def test_of_many_racing_processes_one_gets_the_token(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db")
    held = [approved(world) for _ in range(5)]
    digests = {each: world.approvals.get(each).digest for each in held}
    world.close()
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            _claim_all(tmp_path, digests, number)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    taken = [path.read_text(encoding="utf-8").split() for path in tmp_path.glob("taken-*")]
    assert sorted(each for of_one in taken for each in of_one) == sorted(held)


def _claim_all(folder: Path, digests: dict[str, str], number: int) -> None:
    """A process that tries to claim everything, writes down what it got, and ends without the test's cleaning up."""
    status = 1
    try:
        with Ledger.open(folder / "g.db", keys_dir=folder / "keys", busy_timeout_s=60) as ledger:
            approvals, now = World(folder / "g.db", ledger=ledger).approvals, Current("hold", action())
            got = []
            for held, digest in digests.items():
                with contextlib.suppress(Refusal):
                    got.append(approvals.claim(held, digest, now, f"p{number}").approval.id)
        (folder / f"taken-{number}").write_text(" ".join(got), encoding="utf-8")
        status = 0
    finally:
        os._exit(status)


def test_of_an_approve_and_a_deny_that_race_the_deny_wins(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "g.db", keys_dir=tmp_path / "keys") as ledger:
        world = World(tmp_path / "g.db", ledger=ledger)
        for _ in range(10):
            held = world.ask(obligations=needs((1, "finance")))

            def vote(n: int, held: str = held) -> str:
                who, said = [("alice", "approve"), ("bob", "deny"), ("dave", "approve")][n]
                return world.vote(held, who, said, key=f"{held}{n}")

            racing(3, vote)
            assert world.state(held) == "denied"
