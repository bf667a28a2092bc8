"""The journal against the tables: does every approval stand where its journal rows lead?

Whoever can write the tables can forge a state or a vote; the hash-chained journal tells.
"""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from backstay.guard.approvals import store
from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.held_action import digest_of
from backstay.guard.approvals.states import TRANSITIONS, State
from backstay.guard.approvals.unit import KIND
from backstay.storage.journal import read_entries

PAGE = 500
_UNCHANGED = frozenset({"refused", "late_outcome", "link_made"})


def first_difference(connection: Connection) -> str | None:
    """What stands otherwise in the tables than in the journal, or None. The chain itself is `backstay verify`'s."""
    told: dict[str, dict[str, Any]] = {}
    votes: set[tuple[str, str, str, str]] = set()
    for row in (json.loads(entry.payload) for entry in read_entries(connection, KIND)):
        if fault := _fault(told.get(row["id"]), row):
            return f"approval {row['id']}: {fault}"
        if row["event"] not in _UNCHANGED:
            told[row["id"]] = row
        if "vote" in row:
            votes.add((row["id"], row["digest"], row["by"], row["vote"]))
    for approval in _all(connection):
        if fault := _differs(approval, told.pop(approval.id, None), votes):
            return f"approval {approval.id}: {fault}"
    return f"approval {next(iter(told))} is in the journal and not in the table" if told else None


def _fault(before: dict[str, Any] | None, row: dict[str, Any]) -> str | None:
    if before is None:
        return None if row["event"] == "asked" else f"{row['event']} before it was asked"
    if row["event"] in _UNCHANGED:
        return None if row["version"] == before["version"] else "an attempt on a version that was not"
    if row["version"] != before["version"] + 1 or row["from"] != before["to"]:
        return f"version {row['version']} from {row['from']} does not follow {before['version']} {before['to']}"
    steps = row["from"] != row["to"]
    if steps and State(row["to"]) not in TRANSITIONS.get(State(row["from"]), frozenset()):
        return f"went from {row['from']} to {row['to']}"
    return None


def _differs(approval: Approval, told: dict[str, Any] | None, votes: set[tuple[str, str, str, str]]) -> str | None:
    if told is None:
        return "is in the table and not in the journal"
    stands = (approval.version, str(approval.state), approval.digest)
    if stands != (told["version"], told["to"], told["digest"]):
        return f"stands at version {stands[0]}, {stands[1]}; the journal says {told['version']}, {told['to']}"
    if approval.digest != digest_of(approval.content):
        return "its content is not what its digest is of"
    for vote in approval.votes:
        if (approval.id, vote.digest, vote.person, vote.vote) not in votes:
            return f"the {vote.vote} of {vote.person} is not in the journal"
    return None


def _all(connection: Connection) -> Iterator[Approval]:
    after = ""
    while page := store.listed(connection, list(State), after, PAGE):
        yield from page
        after = page[-1].id
