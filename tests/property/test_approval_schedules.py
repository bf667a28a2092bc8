"""Random schedules with deaths break no invariant, and each invariant's guard, once removed, is missed."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from approval_checker import Checker
from approval_schedules import Schedule, audit, direct_world

from backstay.guard.approvals import approval, deciding, executing, people, service, unit
from backstay.guard.approvals.states import State

pytestmark = pytest.mark.property


def violations(path: Path, seeds: range, *, until: str = "") -> Counter[str]:
    world, found = direct_world(path / "g.db"), Counter[str]()
    if until == "I5":  # The database itself would refuse.
        with world.ledger.engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER approvals_no_update")
    for seed in seeds:
        found.update(Schedule(world, seed).run().violations)
        if found[until]:
            break
    last = Checker()
    audit(world, last)
    world.close()
    return found + last.violations


def test_no_invariant_is_broken(tmp_path: Path) -> None:
    assert violations(tmp_path, range(100)) == {}


def forgetful(change: Callable[..., Any]) -> Callable[..., Any]:
    """Changes, except that a deny does not end anything."""

    def changed(self: Any, about: Any, event: str, by: str, *, to: Any = None, **more: Any) -> Any:
        return change(self, about, event, by, to=None if to is State.DENIED else to, **more)

    return changed


def silent(journal: Callable[..., None]) -> Callable[..., None]:
    """Journals everything but claims."""

    def journalled(self: Any, about: Any, event: str, *rest: Any) -> None:
        if event != "claimed":
            journal(self, about, event, *rest)

    return journalled


def hasty(refused: Callable[..., Any]) -> Callable[..., Any]:
    """Every refusal but that of an edit on which policy has not been run."""

    def checked(*given: Any) -> Any:
        answer = refused(*given)
        return None if answer is not None and answer.refusal.code == "unchecked" else answer

    return checked


FAULTS: dict[str, list[tuple[Any, str, Any]]] = {
    "I1": [(module, "is_enough", lambda _unit, about: bool(about.votes)) for module in (deciding, executing)],
    "I2": [(executing, "_not_the_same", lambda *_: None)],
    "I3": [(people.Directory, "known_as", lambda *_: frozenset())],
    "I4": [(unit.Unit, "change", forgetful(unit.Unit.change))],
    "I5": [(executing, "_not_ready", lambda *_: None), (unit, "check_transition", lambda *_: None)],
    "I6": [(approval.Approval, "is_over", lambda *_: False)],
    "I8": [(deciding, "_refused", hasty(deciding._refused))],
    "I9": [(executing, "_not_enough", lambda *_: None)],
    "I10": [(service, "rendered", lambda about, _previous: b"digest " + about.digest.encode() + b'\n{"args": {}}')],
    "I11": [(deciding, "_glass_holds", lambda *_: None)],
    "I13": [(unit.Unit, "_journal", silent(unit.Unit._journal))],
}


@pytest.mark.parametrize("invariant", FAULTS)
def test_a_removed_guard_is_missed(invariant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, fault in FAULTS[invariant]:
        monkeypatch.setattr(owner, name, fault)
    assert violations(tmp_path, range(400), until=invariant)[invariant] > 0
