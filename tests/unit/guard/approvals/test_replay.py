"""What was forged in the tables is found by the journal."""

import json

import pytest
from approval_world import REASON, World, journal

from backstay.guard.approvals import (
    first_difference,
)


def test_each_row_of_the_journal_says_what_and_whose(world: World) -> None:
    held = world.ask(key="k")
    world.vote(held, "alice")
    asked, vote = journal(world)
    assert (asked["event"], asked["by"], asked["to"], asked["tool"]) == (
        "asked",
        "svc-Rita",
        "pending",
        "bank.transfer",
    )
    assert (vote["by"], vote["vote"], vote["reason"], vote["roles"]) == ("alice", "approve", REASON, ["finance"])
    assert "DE89" not in json.dumps(journal(world))


FORGERIES = (
    "UPDATE approvals SET state = 'approved'",
    "UPDATE approvals SET version = 9",
    "UPDATE approvals SET record = replace(record, 'DE89', 'DE66')",
    """INSERT INTO approval_votes SELECT approval_id, digest, 'bob', vote, 9, roles, reason, 'k9', at_ms
    FROM approval_votes""",
    """INSERT INTO approvals SELECT 'x', state, version, digest, principal, 'k', expires_at_ms, escalate_at_ms,
    lease_until_ms, record FROM approvals""",
)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_was_forged_in_the_tables_is_found_by_the_journal(world: World, forgery: str) -> None:
    world.vote(world.ask(), "alice")
    with world.ledger.engine.connect() as connection:
        assert first_difference(connection) is None
        connection.exec_driver_sql(forgery)
        assert "approval " in str(first_difference(connection))
