"""Quorum against every way of seating people, and the examples of the docs."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.guard.approvals.quorum import Stage, demands_more, filled, is_met, may_vote, stages_of, widened
from backstay.policy import Mask, RequireApproval

ROLES = st.sampled_from(["a", "b", "c"])
STAGES = st.lists(
    st.builds(Stage, st.frozensets(ROLES, min_size=1).map(lambda r: tuple(sorted(r))), st.integers(1, 2)),
    max_size=3,
)
VOTERS = st.dictionaries(st.sampled_from(["u", "v", "w", "x", "y"]), st.frozensets(ROLES))


def seated_by_trying(stages: list[Stage], voters: dict[str, frozenset[str]]) -> bool:
    """Whether some order of the voters fills the places one after another."""
    places = [stage for stage in stages for _ in range(stage.k)]
    return bool(places) and any(
        all(voters[name] & set(place.roles) for name, place in zip(order, places, strict=True))
        for order in itertools.permutations(voters, len(places))
    )


@given(STAGES, VOTERS)
def test_met_when_some_seating_fills_every_place(stages: list[Stage], voters: dict[str, frozenset[str]]) -> None:
    assert is_met(stages, voters) == seated_by_trying(stages, voters)


@given(STAGES, VOTERS)
def test_more_voters_never_unmake_a_quorum_and_nobody_sits_twice(
    stages: list[Stage], voters: dict[str, frozenset[str]]
) -> None:
    assert sum(filled(stages, voters)) <= len(voters)
    for name in voters:
        fewer = {other: roles for other, roles in voters.items() if other != name}
        assert not is_met(stages, fewer) or is_met(stages, voters)


def test_one_person_with_both_roles_fills_one_stage() -> None:
    stages = (Stage(("finance",), 1), Stage(("security",), 1))
    both = frozenset({"finance", "security"})
    assert not is_met(stages, {"dave": both})
    assert is_met(stages, {"dave": both, "bob": frozenset({"finance"})})
    assert filled(stages, {"dave": both, "bob": frozenset({"security"})}) == (1, 1)


def test_no_stages_are_never_met() -> None:
    assert not is_met((), {"alice": frozenset({"finance"})})
    assert not may_vote((), frozenset({"finance"}))


def test_stages_are_the_strictest_of_each_set_of_roles() -> None:
    duties = (
        RequireApproval(k=1, of=("b", "a")),
        Mask(args=("x",)),
        RequireApproval(k=3, of=("a", "b", "a")),
        RequireApproval(k=1, of=("c",)),
    )
    assert stages_of(duties) == (Stage(("a", "b"), 3), Stage(("c",), 1))
    assert widened(stages_of(duties), ("z",)) == (Stage(("a", "b", "z"), 3), Stage(("c", "z"), 1))


@pytest.mark.parametrize(
    ("after", "more"),
    [([(("a",), 2)], False), ([(("a",), 1)], False), ([], False), ([(("a",), 3)], True), ([(("b",), 1)], True),
     ([(("a",), 1), (("b",), 1)], True), ([(("a", "b"), 1)], True)],
)  # fmt: skip
def test_other_roles_or_more_people_demand_more(after: list[tuple[tuple[str, ...], int]], more: bool) -> None:
    assert demands_more([Stage(("a",), 2)], [Stage(*stage) for stage in after]) is more
