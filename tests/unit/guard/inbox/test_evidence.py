from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from approval_world import action, person

from backstay.guard.approvals import Approvals, Directory, Identity
from backstay.guard.audit import AuditLog
from backstay.guard.inbox.evidence import Origin, origins_of
from backstay.guard.ledger import Ledger
from backstay.policy import Decision, Request

SPOKEN = Origin("amount", ("user",))
STOLEN = Origin("to", ("tool", "tool_only"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path / "g.db", keys_dir=tmp_path / "keys", max_wait_ms=0.0)
    yield made
    made.close()


def decided(ledger: Ledger, exchange: str, effect: Any, tool: str, *origins: Origin) -> None:
    request = Request(point="model.tool_call", tool=tool, principal="p", provenance=dict(origins))
    decision = Decision(effect, (), (), (), (), "9" * 64)
    AuditLog(ledger).decision(request, decision, exchange=exchange, session="s", cost_us=1).result()


def test_origins_of_the_very_call_that_was_held(ledger: Ledger) -> None:
    approvals = Approvals(ledger, lambda: Directory([]))
    for number in range(40):
        ledger.append("guard.admin", {"n": number}).result()
        decided(ledger, f"other-{number}", "hold", "bank.transfer", SPOKEN)
    decided(ledger, "x1", "allow", "bank.transfer", SPOKEN)
    decided(ledger, "x1", "hold", "bank.transfer", SPOKEN)
    decided(ledger, "x1", "hold", "bank.transfer", SPOKEN, STOLEN)
    asked = [approvals.ask(action(exchange="x1", key=f"x1/{place}")) for place in range(3)]
    assert [origins_of(ledger.read, approval) for approval in asked] == [(SPOKEN,), (SPOKEN, STOLEN), ()]
    assert [origin.suspect for origin in (SPOKEN, STOLEN)] == [False, True]
    for number in range(40):
        decided(ledger, f"later-{number}", "hold", "bank.transfer", SPOKEN)
    assert origins_of(ledger.read, asked[1]) == (SPOKEN, STOLEN)


def test_nothing_is_guessed(ledger: Ledger) -> None:
    approvals = Approvals(ledger, lambda: Directory([]))
    decided(ledger, "x1", "hold", "bank.transfer", STOLEN)
    every: tuple[dict[str, Any], ...] = (
        {"exchange": "x1", "key": ""},
        {"exchange": "x1", "key": "mine"},
        {"exchange": "x1", "key": "x2/0"},
        {"exchange": "x1", "key": "x1/²"},
        {"exchange": "x1", "key": "x1/9999999"},
        {"exchange": "x1", "key": "x1/0", "tool": "mail.send"},
    )
    for changes in every:
        assert origins_of(ledger.read, approvals.ask(action(**changes))) == (), changes


def test_an_edit_has_no_origins_of_its_own(ledger: Ledger) -> None:
    people = Directory([person("alice", ("finance",))])
    approvals = Approvals(ledger, lambda: people)
    decided(ledger, "x1", "hold", "bank.transfer", STOLEN)
    first = approvals.ask(action(exchange="x1", key="x1/0"))
    edited = approvals.edit(first.id, Identity("alice", "token"), {"to": "DE02"}, first.digest)
    assert origins_of(ledger.read, first) == (STOLEN,)
    assert origins_of(ledger.read, edited) == ()
