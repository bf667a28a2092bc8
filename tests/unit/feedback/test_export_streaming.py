"""Every format of export, read back by our own importer or compared with what it must say."""

import csv
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from backstay.errors import UsageError
from backstay.feedback.exporting import Tally, export_dataset, export_stream
from backstay.feedback.importing import (
    ImportSettings,
    import_stream,
    read_argilla,
    read_hh_rlhf,
    read_label_studio,
    read_table,
    read_trl,
    read_ultrafeedback,
)
from backstay.feedback.importing.parsed import ParsedImport
from backstay.feedback.importing.table import TableSettings
from backstay.records import Choice, Judgment, Message, Prompt, Rater, Response, Span, Task
from backstay.storage import Repository, Store

ASK = Prompt.make((Message(role="user", content="Why?"),), source="test")
LONG = Prompt.make(
    (
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello."),
        Message(role="user", content="=SUM(A1)"),
    ),
    source="test",
)
SYSTEM = Prompt.make((Message(role="system", content="Be."), Message(role="user", content="So?")), source="test")
ANN, BOB = (Rater(id=name, display_name=name) for name in ("ann", "bob"))


class World:
    """A store with a pair, a list of four, and a pair with a system message."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder, create=True)
        self.repository: Repository = self.store.repository
        texts_of = [(ASK, ["one", "two"]), (LONG, ["-a", "b", "c", "d"]), (SYSTEM, ["x", "y"])]
        self.tasks: dict[str, Task] = {}
        with self.repository.batch() as batch:
            for prompt, texts in texts_of:
                responses = [Response.make(prompt.id, text, policy=f"p{k}") for k, text in enumerate(texts)]
                self.tasks[prompt.id] = Task.make(prompt.id, tuple(one.id for one in responses))
                batch.add_prompts("d", [prompt])
                batch.add_responses("d", responses)
                batch.add_tasks("d", [self.tasks[prompt.id]])
            batch.add_raters("d", [ANN, BOB])
        self.count = 0

    def judge(self, prompt: Prompt, ranking: tuple[tuple[int, ...], ...], rater: Rater = ANN, **more: Any) -> str:
        self.count += 1
        choice = Choice(ranking=ranking) if ranking else Choice(both_bad=True)
        judgment = Judgment(
            id=f"j{self.count}",
            task_id=self.tasks[prompt.id].id,
            rater_id=rater.id,
            order_shown=(),
            choice=choice,
            created_at="2026-01-31T12:00:00.000Z",
            **more,
        )
        self.repository.append_judgments("d", [judgment])
        return judgment.id

    def export(self, form: Any, tally: Tally | None = None, **more: Any) -> bytes:
        return b"".join(export_stream(self.repository, "d", form, tally=tally, **more))


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path / "project")
    yield made
    made.store.close()


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def wins(parsed: ParsedImport) -> set[tuple[str, str, str]]:
    """(rater, better text, worse text) of every ordered pair."""
    texts = {response.id: response.text for response in parsed.responses}
    tasks = {task.id: task for task in parsed.tasks}
    found = set()
    for one in parsed.judgments:
        ids = tasks[one.task_id].response_ids
        for better, worse in combinations(one.choice.ranking, 2):
            found |= {(one.rater_id.split(":")[-1], texts[ids[a]], texts[ids[b]]) for a in better for b in worse}
    return found


RANKING = ((2,), (0, 3), (1,))
EXPECTED = {("c", "-a"), ("c", "d"), ("c", "b"), ("-a", "b"), ("d", "b")}


def test_trl_gives_every_ordered_pair_of_a_ranking(world: World, tmp_path: Path) -> None:
    world.judge(LONG, RANKING, strength=2.0, flags=("unsafe",))
    world.judge(ASK, ((0, 1),))
    world.judge(ASK, ())
    world.judge(ASK, ((1,), (0,)), purpose="consistency")
    back = world.judge(ASK, ((1,), (0,)))
    tally = Tally()
    rows = lines(world.export("trl", tally, retracted={back}))
    assert {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows} == EXPECTED
    assert {(row["rater"], row["strength"], *row["flags"]) for row in rows} == {("ann", 2.0, "unsafe")}
    assert tally.written == len(rows) == 5
    assert tally.left_out == {"tie": 1, "all bad": 1, "not asked for as a vote": 1, "taken back by the rater": 1}
    (tmp_path / "x.jsonl").write_bytes(world.export("trl", retracted={back}))
    parsed = read_trl(tmp_path / "x.jsonl", dataset="n")
    assert parsed.prompts[0].messages == LONG.messages
    assert {pair[1:] for pair in wins(parsed)} == EXPECTED


def test_hh_rlhf_leaves_out_what_it_cannot_hold(world: World, tmp_path: Path) -> None:
    world.judge(LONG, RANKING)
    world.judge(SYSTEM, ((0,), (1,)))
    tally = Tally()
    (tmp_path / "x.jsonl").write_bytes(world.export("hh-rlhf", tally))
    parsed = read_hh_rlhf(tmp_path / "x.jsonl", dataset="n")
    assert parsed.problems == ()
    assert parsed.prompts[0].messages == LONG.messages
    assert {pair[1:] for pair in wins(parsed)} == EXPECTED
    assert tally.left_out == {"a system message": 1}


@pytest.mark.parametrize(
    ("form", "name", "read"),
    [("argilla", "x.json", read_argilla), ("label-studio", "x.json", read_label_studio)],
)
def test_annotation_tools_get_rankings_as_they_are(
    world: World, tmp_path: Path, form: str, name: str, read: Any
) -> None:
    world.judge(LONG, RANKING, rationale="clear", duration_ms=1500)
    world.judge(LONG, ((1,), (0,), (3,), (2,)), BOB)
    world.judge(SYSTEM, ((1,), (0,)), strength=3.0, flags=("unsafe",), spans=(Span(response=0, start=0, end=1),))
    world.judge(ASK, (), BOB)
    world.judge(ASK, ((0, 1),))
    world.judge(ASK, ((0,), (1,)), purpose="consistency")
    (tmp_path / name).write_bytes(world.export(form))
    parsed = read(tmp_path / name, dataset="n")
    assert parsed.problems == ()
    assert {prompt.messages for prompt in parsed.prompts} == {ASK.messages, LONG.messages, SYSTEM.messages}
    expected = {("ann", *pair) for pair in EXPECTED} | {("ann", "y", "x")}
    expected |= {("bob", a, b) for a, b in combinations(["b", "-a", "d", "c"], 2)}
    assert wins(parsed) == expected
    assert sorted(one.choice.both_bad for one in parsed.judgments) == [False] * 4 + [True]
    assert [one.rationale for one in parsed.judgments if one.rationale] == ["clear"]
    if form == "label-studio":
        assert [one.duration_ms for one in parsed.judgments if one.duration_ms] == [1500]
        assert b'"labels": ["bad"]' in world.export(form)


def test_ultrafeedback_scores_are_shares_of_wins(world: World, tmp_path: Path) -> None:
    world.judge(LONG, RANKING)
    (tmp_path / "one.jsonl").write_bytes(world.export("ultrafeedback"))
    parsed = read_ultrafeedback(tmp_path / "one.jsonl", dataset="n")
    assert {pair[1:] for pair in wins(parsed)} == EXPECTED
    assert {response.policy for response in parsed.responses} == {"p0", "p1", "p2", "p3"}
    assert parsed.prompts[0].messages == LONG.messages
    world.judge(LONG, (), BOB)
    [row] = lines(world.export("ultrafeedback"))
    # By hand: shares 1/2, 0, 1, 1/2 of ann, nothing of bob; halved, then from 1 to 10.
    assert [one["overall_score"] for one in row["completions"]] == [3.25, 1.0, 5.5, 3.25]


def test_a_csv_runs_no_formula_and_comes_back_as_it_was(world: World, tmp_path: Path) -> None:
    bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'=1", "''@", "\uff1d1", "'plain", "'", "=cmd|' /C calc'!A0"]
    rows = [
        {
            "prompt": "q",
            "response_a": text,
            "response_b": f"other {k}",
            "choice": "a",
            "rater": "=ann",
            "rationale": text,
        }
        for k, text in enumerate(bad)
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_stream(world.repository, source, "jsonl", ImportSettings(dataset="f"))
    data = b"".join(export_stream(world.repository, "f", "csv"))
    cells = [cell for row in csv.reader(io.StringIO(data.decode(), newline="")) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))] == []
    (tmp_path / "out.csv").write_bytes(data)
    parsed = read_table(tmp_path / "out.csv", dataset="g", settings=TableSettings(prompt_kind="messages"))
    assert sorted(one.rationale for one in parsed.judgments) == sorted(bad)
    assert {rater.id for rater in parsed.raters} == {"=ann"}
    # Somebody else's csv has no column that says so, and keeps its apostrophes.
    (tmp_path / "their.csv").write_text("prompt,response_a,response_b,choice,rater\nq,'=1,y,a,r\n", encoding="utf-8")
    assert "'=1" in {one.text for one in read_table(tmp_path / "their.csv", dataset="g").responses}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables_keep_strength_flags_spans_and_purpose(world: World, tmp_path: Path, suffix: Any) -> None:
    more: dict[str, Any] = {
        "strength": 2.5,
        "flags": ("unsafe", "broken"),
        "spans": (Span(response=1, start=0, end=3, label="good"),),
    }
    world.judge(ASK, ((1,), (0,)), purpose="consistency", **more)
    world.judge(LONG, RANKING)
    path = tmp_path / f"x.{suffix}"
    report = export_dataset(path, world.repository, "d", suffix)
    assert (report.written, report.left_out) == (1, {"more than two responses": 1})
    parsed = read_table(path, dataset="n", settings=TableSettings(prompt_kind="messages"))
    [judgment] = parsed.judgments
    assert (judgment.strength, judgment.flags, judgment.purpose) == (2.5, ("unsafe", "broken"), "consistency")
    marked = parsed.tasks[0].response_ids[judgment.spans[0].response]
    assert {one.id: one.text for one in parsed.responses}[marked] == "two"


def test_pages_and_blocks_join_without_a_seam(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstay.feedback.exporting.judged._ROWS_A_PAGE", 3)
    monkeypatch.setattr("backstay.feedback.exporting.judged._PROMPTS_A_PAGE", 2)
    monkeypatch.setattr("backstay.feedback.exporting.tables._ROWS_A_GROUP", 2)
    rows = [
        {"prompt": f"q{n}", "response_a": "x", "response_b": "y", "choice": "a", "rater": f"r{n % 2}"}
        for n in range(11)
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_stream(world.repository, source, "jsonl", ImportSettings(dataset="other"))
    world.judge(ASK, ((0,), (1,)))
    wanted = [row["rater"] for row in rows]
    assert [row["rater"] for row in lines(b"".join(export_stream(world.repository, "other", "jsonl")))] == wanted
    path = tmp_path / "x.parquet"
    export_dataset(path, world.repository, "other", "parquet")
    assert pq.read_table(path)["rater"].to_pylist() == wanted
    assert len(json.loads(b"".join(export_stream(world.repository, "other", "argilla")))) == 11
    assert len(lines(world.export("jsonl"))) == 1


@pytest.mark.parametrize(
    ("form", "data"), [("jsonl", b""), ("trl", b""), ("argilla", b"[]\n"), ("label-studio", b"[]\n")]
)
def test_nothing_judged_gives_an_empty_file(world: World, form: str, data: bytes) -> None:
    assert world.export(form) == data


def test_unknown_formats_are_refused_before_anything_is_read(world: World) -> None:
    with pytest.raises(UsageError, match="no format 'xml'"):
        world.export("xml")
