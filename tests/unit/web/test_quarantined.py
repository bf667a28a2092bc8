"""What is in quarantine is read from the newest finished run, and a run that does not hold together is told so."""

import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import IntegrityError
from backstay.feedback.collection import Rejected
from backstay.records import Message, Pair, Prompt, Response
from backstay.storage import write_records
from backstay.web.quarantined import NOTHING, read_quarantine

PROMPT = Prompt.make((Message(role="user", content="Why?"),), source="made")
TEXTS = [Response.make(PROMPT.id, text, policy="m") for text in ("Because.", "No.")]
RATE = "rate-ba9876543210"


def pair(name: str, status: str = "quarantined") -> Pair:
    a, b = (response.id for response in TEXTS)
    return Pair.model_validate(
        {"id": name, "prompt_id": PROMPT.id, "a": a, "b": b, "p_a": 0.5, "weight": 1.0, "status": status}
    )


def run(folder: Path, name: str, predicate: dict[str, Any], pairs: list[Pair] | None = None) -> None:
    path = folder / "runs" / name
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps({"predicate": predicate}))
    if pairs is not None:
        write_records(path / "pairs.jsonl", pairs)


def rated(folder: Path) -> None:
    run(folder, RATE, {"summary": {"dataset": "d"}})
    write_records(folder / "runs" / RATE / "prompts.jsonl", [PROMPT])
    write_records(folder / "runs" / RATE / "responses.jsonl", TEXTS)


def screened(finished: str, rate: str = RATE) -> dict[str, Any]:
    return {"inputs": {"rate": {"run": rate}}, "finished": finished}


def test_without_a_run_there_is_nothing(tmp_path: Path) -> None:
    assert read_quarantine(None) == NOTHING and read_quarantine(tmp_path) == NOTHING


def test_the_run_that_finished_last_counts_and_only_what_is_quarantined(tmp_path: Path) -> None:
    rated(tmp_path)
    run(tmp_path, "screen-000000000001", screened("2027-01-02"), [pair("b"), pair("a"), pair("c", "accepted")])
    run(tmp_path, "screen-000000000002", screened("2027-01-01"), [pair("old")])
    found = read_quarantine(tmp_path)
    assert (found.run, found.dataset, found.total) == ("screen-000000000001", "d", 2)
    assert [row.pair.id for row in found.pairs] == ["a", "b"] and found.pairs[0].a.text == "Because."
    assert found.pair("b").prompt == PROMPT
    with pytest.raises(Rejected, match="no such pair"):
        found.pair("c")


def test_the_pointer_says_which_run_was_executed_last(tmp_path: Path) -> None:
    rated(tmp_path)
    run(tmp_path, "screen-000000000001", screened("2027-01-02"), [pair("late")])
    run(tmp_path, "screen-000000000002", screened("2027-01-01"), [pair("reused")])
    (tmp_path / "latest.json").write_text(json.dumps({"screen": "screen-000000000002"}))
    assert [row.pair.id for row in read_quarantine(tmp_path).pairs] == ["reused"]


@pytest.mark.parametrize("name", ["../../etc", "rate", "", "rate-ba987654321", None, 3])
def test_a_manifest_leads_nowhere_else(tmp_path: Path, name: Any) -> None:
    run(tmp_path, "screen-000000000001", screened("2027", name), [])
    with pytest.raises(IntegrityError, match="names no run of rate"):
        read_quarantine(tmp_path)


def test_a_broken_line_and_a_missing_text_are_told(tmp_path: Path) -> None:
    rated(tmp_path)
    run(tmp_path, "screen-000000000001", screened("2027"), [pair("a")])
    path = tmp_path / "runs" / "screen-000000000001" / "pairs.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"status":"quarantined"}\n')
    with pytest.raises(IntegrityError, match=r"pairs.jsonl:2: not a Pair"):
        read_quarantine(tmp_path)
    path.write_text(whole)
    write_records(tmp_path / "runs" / RATE / "responses.jsonl", TEXTS[:1])
    with pytest.raises(IntegrityError, match="lacks"):
        read_quarantine(tmp_path)
