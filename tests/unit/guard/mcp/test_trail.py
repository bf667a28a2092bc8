"""What servers said is known of later arguments; what was forgotten is assumed to have said them."""

from backstay.guard.mcp.trail import Trail, Trails

ACCOUNT = "DE89370400440532013000"


def origins(trail: Trail, **args: object) -> dict[str, tuple[str, ...]]:
    return {name: tuple(found) for name, found in trail.facts("far/pay", args, {}).provenance.by_argument().items()}


def test_results_are_evidence_and_nothing_else_is() -> None:
    trail = Trail(1000)
    assert origins(trail, to=ACCOUNT) == {"to": ("model",)}
    trail.add("far/mail", f"pay {ACCOUNT}")
    assert origins(trail, to=ACCOUNT, note="a holiday in the mountains") == {
        "to": ("tool", "tool_only"),
        "note": ("model",),
    }


def test_after_something_was_forgotten_the_worst_is_assumed() -> None:
    trail = Trail(1000)
    trail.add("far/mail", f"pay {ACCOUNT}")
    trail.add("far/mail", "x " * 500)
    assert trail.forgot
    assert origins(trail, to=ACCOUNT) == {"to": ("model", "tool", "tool_only")}
    assert "after_untrusted" in trail.facts("far/pay", {}, {}).call["facts"]


def test_trails_are_by_session_and_of_bounded_number() -> None:
    trails = Trails(1000, 3600.0, 2)
    first = trails.of("ada")
    assert trails.of("ada") is first and trails.of("eve") is not first
    assert not first.forgot
    assert trails.of("bob").forgot  # There was no room: what was known of somebody is gone, perhaps of this one.
    assert Trails(1000, 0.0, 2).of("ada") is not first


def test_an_idle_trail_is_dropped() -> None:
    trails = Trails(1000, 0.0, 5)
    first = trails.of("ada")
    first.add("t", "x")
    assert trails.of("ada") is not first and not trails.of("ada").forgot
