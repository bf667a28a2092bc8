"""`backstay import` and `backstay export` on data that other tools wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backstay.cli.main import cli
from backstay.errors import UsageError
from backstay.feedback.importing import streaming
from backstay.storage import Store

Call = Callable[..., Result]
RECORD = {
    "fields": {"prompt": "Why?", "response-1": "one", "response-2": "two"},
    "responses": {"pick": [{"value": "the first", "user_id": "u1"}]},
}


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    assert CliRunner().invoke(cli, ["init", str(tmp_path / "demo")]).exit_code == 0
    monkeypatch.chdir(tmp_path / "demo")
    return lambda *arguments: CliRunner().invoke(cli, arguments, catch_exceptions=False)


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output.splitlines()[-1])


def test_a_part_is_imported_and_the_rest_is_beside_the_file(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "votes.csv"
    source.write_text("prompt,response_a,response_b,choice,rater\nq,x,y,a,ann\nq,x,y,?,bob\n", encoding="utf-8")
    rejects = tmp_path / "votes.csv.rejects.jsonl"
    with pytest.raises(UsageError, match=r"line 3, column 4 \(choice\): choice is '\?'"):
        call("import", "csv", str(source))
    assert not rejects.exists()
    report = as_json(call("import", "csv", str(source), "--allow-partial", "--json"))
    assert (report["judgments"], report["refused"], report["rejects"]) == (1, 1, str(rejects))
    assert report["problems"] == [json.loads(rejects.read_text(encoding="utf-8"))]
    assert {key: report["problems"][0][key] for key in ("line", "column", "field", "text")} == {
        "line": 3,
        "column": 4,
        "field": "choice",
        "text": "q,x,y,?,bob",
    }
    said = call("import", "csv", str(source), "--allow-partial").output
    assert f"1 of 2 rows refused and written to {rejects}" in said


def test_fields_and_values_of_other_tools_are_mapped(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "records.json"
    source.write_text(json.dumps([RECORD]), encoding="utf-8")
    options = ("--column", "choice=pick", "--value", "the first=a", "--dimension", "helpful", "--dataset", "team")
    assert as_json(call("import", "argilla", str(source), *options, "--json"))["judgments"] == 1
    target = tmp_path / "out.json"
    assert "1 rows written" in call("export", "label-studio", str(target), "--dataset", "team").output
    [task] = json.loads(target.read_text(encoding="utf-8"))
    [annotation] = task["annotations"]
    assert (annotation["completed_by"], annotation["result"][0]["from_name"]) == ("argilla:u1", "helpful")
    chosen = task["data"]["response_1" if annotation["result"][0]["value"]["selected"] == "left" else "response_2"]
    assert chosen == "one"
    rows = tmp_path / "rows.jsonl"
    assert as_json(call("export", "trl", str(rows), "--dataset", "team", "--json"))["written"] == 1
    assert json.loads(rows.read_text(encoding="utf-8"))["chosen"][0]["content"] == "one"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "hh-rlhf", "x.jsonl", "--column", "prompt=q"), "hh-rlhf does not take --column"),
        (("import", "argilla", "x.jsonl", "--messages"), "argilla does not take --messages"),
        (("export", "argilla", "screen", "x.json"), "belong to no run"),
        (("export", "trl", "screen", "x.jsonl", "--dataset", "d"), "belong to no run"),
    ],
)
def test_options_that_a_format_does_not_look_at_are_refused(call: Call, arguments: tuple[str, ...], said: str) -> None:
    Path("x.jsonl").write_text("{}\n", encoding="utf-8")
    result = call(*arguments, *(("--force",) if arguments[0] == "export" else ()))
    assert result.exit_code == 2
    assert said in result.output


def table(path: Path, rows: int) -> Path:
    lines = "".join(f"question {n},answer x {n},answer y {n},{'ab'[n % 2]},r{n % 3}\n" for n in range(rows))
    path.write_text("prompt,response_a,response_b,choice,rater\n" + lines, encoding="utf-8")
    return path


def test_others_write_between_the_pieces_of_a_file(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the whole is what it would have been in one transaction."""
    source = table(tmp_path / "votes.csv", 6)
    slept: list[float] = []

    def sleeps(seconds: float) -> None:
        with Store(Path(), seal=False) as store, store.repository.batch() as batch:
            batch.add_event("other", {"number": len(slept)})
        slept.append(seconds)

    monkeypatch.setattr(streaming, "PIECE", 4)
    monkeypatch.setattr("backstay.feedback.importing.streaming.time.sleep", sleeps)
    pieces = as_json(call("import", "csv", str(source), "--dataset", "pieces", "--in-pieces", "--json"))
    whole = as_json(call("import", "csv", str(source), "--dataset", "whole", "--json"))
    assert {**pieces, "dataset": ""} == {**whole, "dataset": ""}
    assert len(slept) > 6 and all(seconds > 0 for seconds in slept)
    assert call("verify").exit_code == 0
