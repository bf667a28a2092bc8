"""What time does, and that it never approves."""

from pathlib import Path

from approval_world import World, needs, refused

from backstay.guard.approvals import (
    Settings,
    digest_of,
)


def test_a_sweep_expires_gives_up_and_escalates_and_approves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(escalate_after_s=600, escalate_to=("oncall",)))
    late, used = world.ask(obligations=needs((1, "finance"), expires_s=300)), world.ask()
    held = world.ask(obligations=needs((1, "finance"), (1, "security")))
    for who in ("alice", "bob"):
        world.vote(used, who)
    world.claim(used, lease_s=400)
    world.vote(held, "alice")
    with refused("not_eligible"):
        world.vote(held, "gina")
    world.now_s += 599
    assert world.approvals.sweep() == 2
    assert [world.state(each) for each in (late, used, held)] == ["expired", "unknown", "pending"]
    world.now_s += 1
    assert (world.approvals.sweep(), world.approvals.sweep()) == (1, 0)
    assert world.state(held) == "pending"
    assert world.approvals.get(held).digest == digest_of(world.approvals.get(held).content)
    assert world.vote(held, "gina") == "approved"
    world.close()


def test_a_large_sweep_goes_on_until_all_is_done(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(max_open=1000))
    for _ in range(450):
        world.ask()
    world.now_s += 3600
    assert world.approvals.sweep() == 450
    assert world.approvals.list() == []
    world.close()
