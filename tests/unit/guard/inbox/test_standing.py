from collections.abc import Iterator
from pathlib import Path

import pytest
from approval_world import World, needs

from backstay.guard.approvals import Identity, Settings
from backstay.guard.inbox.standing import Place, Standing, glass_breakers, places_of, standing


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "g.db", Settings(webhooks=("pager",)))
    yield made
    made.close()


def of(world: World, approval_id: str, who: str) -> Standing:
    return standing(world.approvals.get(approval_id), who, world.directory())


def places(world: World, approval_id: str) -> tuple[Place, ...]:
    return places_of(world.approvals.get(approval_id), world.directory())


def test_who_may_and_why_not(world: World) -> None:
    asked = world.ask()
    assert of(world, asked, "alice") == Standing(True, True, True, False, "")
    assert of(world, asked, "erin") == Standing(True, True, True, True, "")
    assert of(world, asked, "frank") == Standing(False, False, False, True, "Only for finance")
    assert of(world, asked, "carol") == Standing(False, False, False, False, "Only for finance")
    assert of(world, asked, "rita") == Standing(False, False, False, False, "You asked for this")
    assert of(world, asked, "olga") == Standing(False, False, False, False, "You own the agent that asked")
    assert of(world, asked, "nobody").why == "Only for finance"


def test_having_voted(world: World) -> None:
    asked = world.ask()
    world.vote(asked, "alice")
    assert of(world, asked, "alice") == Standing(False, True, True, False, "You approved this")
    assert places(world, asked) == (Place(("finance",), 2, 1),)
    world.vote(asked, "bob")
    assert of(world, asked, "alice") == Standing(False, True, False, False, "It is approved")
    assert places(world, asked) == (Place(("finance",), 2, 2),)
    world.vote(asked, "dave", "deny")
    assert of(world, asked, "alice") == Standing(False, False, False, False, "It is denied")


def test_editor_cannot_approve_and_unchecked_edits_wait(world: World) -> None:
    asked = world.ask()
    digest = world.approvals.get(asked).digest
    edited = world.approvals.edit(asked, Identity("alice", "token"), {"amount": 1}, digest).id
    assert of(world, edited, "alice") == Standing(False, False, True, False, "You edited this")
    assert of(world, edited, "bob").why == "Edited; policy and scans have not looked at it yet"
    assert of(world, edited, "bob").deny


def test_lost_roles_do_not_count(world: World) -> None:
    asked = world.ask(obligations=needs((1, "finance"), (1, "security")))
    world.vote(asked, "dave")
    assert [place.has for place in places(world, asked)].count(1) == 1
    world.roles["dave"] = ("security",)
    assert places(world, asked) == (Place(("finance",), 1, 0), Place(("security",), 1, 1))
    world.roles["dave"] = ("oncall",)
    assert [place.has for place in places(world, asked)] == [0, 0]


def test_broken_glass(world: World) -> None:
    asked = world.ask()
    world.vote(asked, "erin", "break_glass")
    approval = world.approvals.get(asked)
    assert glass_breakers(approval, world.directory()) == Place(("break-glass",), 2, 1)
    assert not of(world, asked, "erin").break_glass
    assert of(world, asked, "frank").break_glass


def test_expired(world: World) -> None:
    asked = world.ask()
    world.now_s += 3600
    assert of(world, asked, "alice") == Standing(False, False, False, False, "It is expired")
