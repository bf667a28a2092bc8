"""Rows of the audit: the whole decision, no contents unless asked for, and nothing that JSON cannot hold."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import UsageError
from backstay.guard.audit import AuditLog, Contents
from backstay.guard.ledger import Ledger
from backstay.policy import Decision, Mask, Redact, Request, RuleError, ShadowResult
from backstay.storage.journal import entry_at

SECRET = "ghp_" + "a1B2" * 9
REQUEST = Request(
    point="model.tool_call",
    action="call",
    tool="send_mail",
    principal="ann",
    roles=("support", "sales"),
    principal_attributes={"team": "north"},
    resource="crm",
    args={
        "to": "bob@example.org",
        "amount": 12.5,
        "cc": [],
        "now": True,
        "n": 3,
        "more": {"a": None},
        "x": None,
        "y": (1,),
    },
    text=f"the key is {SECRET}",
    findings={"secret": 1},
    provenance={"to": ("tool", "tool_only")},
    counters={"sent": 3, "spent": 20.0, "lost": None, "part": 0.5},
)
DECISION = Decision(
    "hold",
    ("big", "taint"),
    (Redact(kinds=("secret",)), Mask(args=("to",))),
    ("Large sums.", "Told by a tool."),
    (RuleError("other", "no such key"),),
    "ab" * 32,
    (ShadowResult("next", "forbid", applied=True, error=""),),
    "deny",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield opened


def written(ledger: Ledger, log: AuditLog, request: Request = REQUEST, **changes: Any) -> dict[str, Any]:
    facts = {"exchange": "ex-1", "session": "s-1", "cost_us": 31, **changes}
    return read(ledger, log.decision(request, DECISION, **facts).result(5))


def read(ledger: Ledger, seq: int) -> dict[str, Any]:
    with ledger.read() as connection:
        entry = entry_at(connection, seq)
    assert entry is not None
    found: dict[str, Any] = json.loads(entry.payload)
    return found


def test_a_decision_is_written_as_it_was_taken_without_contents(ledger: Ledger, tmp_path: Path) -> None:
    row = written(ledger, AuditLog(ledger), decision_id="d-1", counted={"sent": 1, "spent": 12.5})
    assert row.pop("at").endswith("Z")
    key = (tmp_path / "keys" / "digest.key").read_bytes()

    def digest(data: bytes) -> str:
        return hashlib.blake2b(data, key=key, digest_size=32).hexdigest()

    args = b'{"amount":12.5,"cc":[],"more":{"a":null},"n":3,"now":true,"to":"bob@example.org","x":null,"y":[1]}'
    assert row == {
        "id": "d-1",
        "exchange": "ex-1",
        "session": "s-1",
        "point": "model.tool_call",
        "action": "call",
        "tool": "send_mail",
        "principal": "ann",
        "roles": ["support", "sales"],
        "resource": "crm",
        "effect": "hold",
        "rules": ["big", "taint"],
        "reasons": ["Large sums.", "Told by a tool."],
        "errors": [["other", "no such key"]],
        "obligations": [{"name": "redact", "kinds": ["secret"]}, {"name": "mask", "args": ["to"]}],
        "policy": "ab" * 32,
        "findings": {"secret": 1},
        "provenance": {"to": ["tool", "tool_only"]},
        "counters": {"sent": 3, "spent": 20, "lost": None, "part": 0.5},
        "shadow": [["next", "forbid", True, ""]],
        "shadow_effect": "deny",
        "text_digest": digest(REQUEST.text.encode()),
        "args_digest": digest(args),
        "args_shape": {
            "to": "string",
            "amount": "number",
            "cc": "array",
            "now": "boolean",
            "n": "integer",
            "more": "object",
            "x": "null",
            "y": "array",
        },
        "call": None,
        "cost_us": 31,
        "counted": {"sent": 1, "spent": 12.5},
        "readable": "yes",
    }


@pytest.mark.parametrize("contents", ["redacted", "full"])
def test_contents_stand_there_only_where_they_were_asked_for(ledger: Ledger, contents: Contents) -> None:
    assert SECRET not in json.dumps(written(ledger, AuditLog(ledger)))
    content = written(ledger, AuditLog(ledger, contents))["content"]
    assert (SECRET in content["text"]) == (contents == "full")
    assert ("REDACTED" in content["text"]) == (contents == "redacted")
    assert content["args"] == {**REQUEST.args, "to": "[MASKED]", "y": [1]}
    assert content["attributes"] == {"principal": {"team": "north"}, "resource": {}}


def test_secrets_deep_in_arguments_and_their_names_are_redacted(ledger: Ledger) -> None:
    request = Request(point="model.tool_call", tool="t", args={"a": [{"b": (SECRET,)}], SECRET: 1})
    row = written(ledger, AuditLog(ledger, "redacted"), request)
    assert SECRET not in json.dumps(row["content"])
    assert row["content"]["args"]["a"][0]["b"][0].startswith("[REDACTED:")


def test_what_was_not_scanned_or_traced_is_null(ledger: Ledger) -> None:
    row = written(ledger, AuditLog(ledger), Request(point="request.input"))
    assert (row["findings"], row["provenance"]) == (None, None)
    assert "counted" not in row
    assert "content" not in row


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2**60, "1152921504606846976"), (math.nan, "nan"), ("a\ud800", "a\\ud800"), ([2**53, 1.5], [str(2**53), 1.5])],
)
def test_arguments_beyond_canonical_json_are_audited_and_marked(ledger: Ledger, value: Any, shown: Any) -> None:
    request = Request(point="model.tool_call", tool="t", args={"v": value}, text="\udfff")
    row = written(ledger, AuditLog(ledger, "full"), request)
    assert (row["escaped"], row["content"]["args"], row["content"]["text"]) == (True, {"v": shown}, "\\udfff")
    assert (
        row["args_digest"]
        != written(ledger, AuditLog(ledger), Request(point="feedback", args={"v": shown}))["args_digest"]
    )


def test_a_hostile_name_is_audited(ledger: Ledger) -> None:
    row = written(ledger, AuditLog(ledger), Request(point="model.tool_call", tool="send\ud800"))
    assert (row["tool"], row["escaped"]) == ("send\\ud800", True)


def test_arguments_that_are_not_json_are_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="cannot be audited"):
        AuditLog(ledger).decision(
            Request(point="feedback", args={"a": b"x"}), DECISION, exchange="e", session="s", cost_us=1
        )


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1, 1),
        (2.0, 2),
        (0.25, 0.25),
        (True, None),
        ("9", None),
        (math.inf, None),
        (10**400, None),
        (-3, 0),
        (2**60, 2**60),
    ],
)
def test_counted_values_are_numbers_or_unknown(ledger: Ledger, value: Any, kept: Any) -> None:
    found = written(ledger, AuditLog(ledger), counted={"c": value})["counted"]["c"]
    assert found is None if kept is None else float(found) == kept


def test_an_outcome_names_its_decision_and_holds_a_digest(ledger: Ledger) -> None:
    log = AuditLog(ledger)
    future = log.outcome("d-1", exchange="e", session="s", status="executed", content=b"sent", counted={"sent": 1})
    row = read(ledger, future.result(5))
    assert row["content_digest"] == ledger.digest(b"sent")
    assert (row["decision"], row["status"], row["counted"], row["detail"]) == ("d-1", "executed", {"sent": 1}, {})


def test_an_unknown_setting_names_the_known_ones(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="digests, redacted, full"):
        AuditLog(ledger, "all")  # type: ignore[arg-type]  # what a configuration may hold
