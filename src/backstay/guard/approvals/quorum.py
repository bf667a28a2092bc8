"""Who must approve, and whether those who did are enough. Pure functions over names and roles.

Stages with different roles need different people: each person fills one place of one stage. Whether the places can be
filled is a maximum matching between people and places, found by augmenting paths.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from backstay.policy import Obligation, RequireApproval

Roles = frozenset[str]


class Stage(NamedTuple):
    """`k` people, each with one of these roles."""

    roles: tuple[str, ...]
    k: int


def stages_of(obligations: Iterable[Obligation]) -> tuple[Stage, ...]:
    """One stage for each set of roles, with the largest k asked of it, in a fixed order."""
    needed: dict[tuple[str, ...], int] = {}
    for duty in obligations:
        if isinstance(duty, RequireApproval):
            roles = tuple(sorted(set(duty.of)))
            needed[roles] = max(needed.get(roles, 0), duty.k)
    return tuple(Stage(roles, k) for roles, k in sorted(needed.items()))


def widened(stages: Iterable[Stage], more: Iterable[str]) -> tuple[Stage, ...]:
    """The same stages, open to more roles; how many people they need does not change."""
    extra = set(more)
    return tuple(Stage(tuple(sorted(extra.union(stage.roles))), stage.k) for stage in stages)


def may_vote(stages: Iterable[Stage], roles: Roles) -> bool:
    """Whether somebody with these roles has a say in any stage."""
    return any(not roles.isdisjoint(stage.roles) for stage in stages)


def filled(stages: Sequence[Stage], voters: Mapping[str, Roles]) -> tuple[int, ...]:
    """How many places of each stage the voters fill at best, each voter in one place."""
    places = [index for index, stage in enumerate(stages) for _ in range(min(stage.k, len(voters)))]
    holder: list[str | None] = [None] * len(places)
    for voter in sorted(voters):
        _seat(voter, stages, places, holder, voters, set())
    return tuple(
        sum(holder[i] is not None for i, stage in enumerate(places) if stage == index) for index in range(len(stages))
    )


def is_met(stages: Sequence[Stage], voters: Mapping[str, Roles]) -> bool:
    """Whether every stage is full; no stages at all are never met, because nobody said who may approve."""
    return bool(stages) and all(got >= stage.k for got, stage in zip(filled(stages, voters), stages, strict=True))


def demands_more(before: Iterable[Stage], after: Iterable[Stage]) -> bool:
    """Whether a newer policy asks for people that the older one did not: other roles, or more of the same."""
    had = {stage.roles: stage.k for stage in before}
    return any(had.get(stage.roles, 0) < stage.k for stage in after)


def _seat(
    voter: str,
    stages: Sequence[Stage],
    places: Sequence[int],
    holder: list[str | None],
    voters: Mapping[str, Roles],
    tried: set[int],
) -> bool:
    """Give the voter a place, moving others to free ones where they have the roles."""
    for place, stage in enumerate(places):
        if place in tried or voters[voter].isdisjoint(stages[stage].roles):
            continue
        tried.add(place)
        sitting = holder[place]
        if sitting is None or _seat(sitting, stages, places, holder, voters, tried):
            holder[place] = voter
            return True
    return False
