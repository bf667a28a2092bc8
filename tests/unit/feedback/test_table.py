import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing import ParsedImport, TableSettings, read_table

ROW = {"prompt": "Colour?", "response_a": "Blue.", "response_b": "Green.", "choice": "a", "rater": "ann"}
DATA = Path(os.environ.get("BACKSTAY_DATA", Path(__file__).parents[4] / "shared" / "data"))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(text.getvalue().encode())
    return path


def read(tmp_path: Path, *rows: dict[str, Any], **settings: Any) -> ParsedImport:
    path = write(tmp_path / "rows.jsonl", list(rows))
    return read_table(path, dataset="t", settings=TableSettings(**settings))


def preferred(parsed: ParsedImport, number: int = 0) -> str:
    judgment = parsed.judgments[number]
    task = next(task for task in parsed.tasks if task.id == judgment.task_id)
    texts = {response.id: response.text for response in parsed.responses}
    return texts[task.response_ids[judgment.choice.ranking[0][0]]]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_formats_give_the_same_records(tmp_path: Path, suffix: str) -> None:
    rows = [{**ROW, "rater": rater, "choice": choice} for rater, choice in (("ann", "a"), ("bob", "b"), ("eve", "tie"))]
    parsed = read_table(write(tmp_path / f"rows.{suffix}", rows), dataset="t")
    assert parsed.problems == ()
    assert (len(parsed.prompts), len(parsed.tasks), len(parsed.judgments)) == (1, 1, 3)
    assert [rater.id for rater in parsed.raters] == ["ann", "bob", "eve"]
    assert (preferred(parsed, 0), preferred(parsed, 1)) == ("Blue.", "Green.")
    assert parsed.judgments[2].choice.ranking == ((0, 1),)


def test_optional_columns(tmp_path: Path) -> None:
    row = {
        **ROW,
        "gold": "b",
        "duration_ms": 1234,
        "created_at": "2026-02-03T04:05:06+02:00",
        "rationale": "nicer",
        "cohort": "pilots",
        "dimension": "helpful",
        "first_shown": "b",
        "simulated": True,
        "colour": "ignored",
    }
    parsed = read(tmp_path, row)
    [task], [judgment], [rater] = parsed.tasks, parsed.judgments, parsed.raters
    texts = {response.id: response.text for response in parsed.responses}
    assert task.gold is not None
    assert texts[task.response_ids[task.gold]] == "Green."
    assert texts[task.response_ids[judgment.order_shown[0]]] == "Green."
    assert (judgment.duration_ms, judgment.created_at) == (1234, "2026-02-03T02:05:06.000Z")
    assert (judgment.rationale, task.dimension) == ("nicer", "helpful")
    assert (rater.cohort, rater.simulated) == ({"cohort": "pilots"}, True)
    assert parsed.notes == ("columns not read: colour",)


def test_column_and_value_maps(tmp_path: Path) -> None:
    row = {"q": "Colour?", "left": "Blue.", "right": "Green.", "label": "right", "worker": 7}
    columns = {"prompt": "q", "response_a": "left", "response_b": "right", "choice": "label", "rater": "worker"}
    parsed = read(tmp_path, row, columns=columns, values={"left": "a", "right": "b"}, a_shown_first=True)
    assert preferred(parsed) == "Green."
    [task], [judgment], [rater] = parsed.tasks, parsed.judgments, parsed.raters
    texts = {response.id: response.text for response in parsed.responses}
    assert texts[task.response_ids[judgment.order_shown[0]]] == "Blue."
    assert rater.id == "7"


@pytest.mark.parametrize(("value", "text"), [(0, "Blue."), ("1", "Green."), ("b", "Green.")])
def test_choice_values(tmp_path: Path, value: object, text: str) -> None:
    assert preferred(read(tmp_path, {**ROW, "choice": value})) == text


def test_both_bad(tmp_path: Path) -> None:
    [judgment] = read(tmp_path, {**ROW, "choice": "both_bad"}).judgments
    assert judgment.choice.both_bad


def test_messages_in_the_prompt_column(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    messages.append({"role": "user", "content": "Colour?"})
    plain = read(tmp_path, {**ROW, "prompt": messages})
    as_text = read(tmp_path, {**ROW, "prompt": json.dumps(messages)}, prompt_kind="messages")
    assert plain.prompts == as_text.prompts
    assert len(plain.prompts[0].messages) == 3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"choice": "c"}, "choice is 'c'; accepted: a, b, tie, both_bad, 0, 1"),
        ({"choice": True}, "choice is 'True'"),
        ({"choice": 2}, "choice is '2'"),
        ({"choice": ""}, "has no choice"),
        ({"prompt": None}, "has no prompt"),
        ({"response_b": None}, "has no response_b"),
        ({"response_b": "Blue."}, "both responses are the same text"),
        ({"response_a": ["x"]}, "response_a is a list, not text"),
        ({"rater": ""}, "has no rater"),
        ({"rater": "a\nb"}, "is not 1 to 190 printable characters"),
        ({"rater": "x" * 191}, "is not 1 to 190 printable characters"),
        ({"gold": "tie"}, "gold is tie, not one of the two responses"),
        ({"gold": "a"}, "the gold answer contradicts an earlier row"),
        ({"cohort": "others"}, "rater 'ann' is described differently in an earlier row"),
        ({"duration_ms": -1}, "duration_ms is '-1'"),
        ({"duration_ms": 1.5}, "duration_ms is '1.5'"),
        ({"duration_ms": "soon"}, "duration_ms is 'soon'"),
        ({"duration_ms": [1]}, "duration_ms is '[1]'"),
        ({"duration_ms": 10**40}, "duration_ms is '1000"),
        ({"created_at": "yesterday"}, "created_at is no ISO 8601 time: 'yesterday'"),
        ({"dimension": "nice"}, "dimension is 'nice'; accepted: helpful, harmless, honest, overall"),
        ({"simulated": "maybe"}, "simulated is 'maybe', not true or false"),
    ],
)
def test_bad_row_is_refused_with_its_line_number(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    parsed = read(tmp_path, {**ROW, "gold": "b"}, {**ROW, **change})
    assert parsed.problem_count == 1
    assert parsed.problems[0].startswith("line 2, column ")
    assert complaint in parsed.problems[0]


def test_gold_in_one_row_holds_for_the_pair(tmp_path: Path) -> None:
    rows = [{**ROW, "rater": "r1"}, {**ROW, "rater": "r2", "gold": "b"}, {**ROW, "rater": "r3"}]
    [task] = read(tmp_path, *rows).tasks
    assert task.gold is not None
    assert {response.id: response.text for response in read(tmp_path, *rows).responses}[
        task.response_ids[task.gold]
    ] == "Green."


def test_repeated_row_counts_once_but_another_time_is_another_judgment(tmp_path: Path) -> None:
    later = {**ROW, "created_at": "2026-01-01"}
    parsed = read(tmp_path, ROW, ROW, later)
    assert (len(parsed.judgments), parsed.duplicates) == (2, 1)
    assert len({judgment.id for judgment in parsed.judgments}) == 2


def test_missing_column_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "rater"}
    for suffix in ("csv", "jsonl", "parquet"):
        with pytest.raises(ImportRefused, match="has no column 'rater'; it has 'prompt', 'response_a'"):
            read_table(write(tmp_path / f"rows.{suffix}", [row]), dataset="t")
    path = write(tmp_path / "rows.csv", [ROW])
    with pytest.raises(ImportRefused, match="has no column 'gold answer'"):
        read_table(path, dataset="t", settings=TableSettings(columns={"gold": "gold answer"}))


def test_wrong_maps_name_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names 'ratr', which is not known\n  cure: did you mean 'rater'"):
        read(tmp_path, ROW, columns={"ratr": "x"})
    with pytest.raises(UsageError, match="leads to 'left'\n  cure: use one of a, b, tie, both_bad"):
        read(tmp_path, ROW, values={"x": "left"})
    with pytest.raises(UsageError, match=r"cannot tell the format of rows\.xlsx"):
        read_table(tmp_path / "rows.xlsx", dataset="t")


def test_csv_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        'prompt,response_a,response_b,choice,rater\n"two\nlines",x,y,a,ann\n\n"three\r\nmore\nlines",x,y,c,ann\nq,x,y,a\n',
        newline="",
        encoding="utf-8",
    )
    parsed = read_table(path, dataset="t")
    assert [problem.split(",")[0] for problem in parsed.problems] == ["line 5", "line 8"]
    assert "has 4 columns, the header has 5" in parsed.problems[1]
    assert parsed.prompts[0].messages[0].content == "two\nlines"


@pytest.mark.skipif(not (DATA / "crowd").is_dir(), reason="the crowd data is not there; set BACKSTAY_DATA")
def test_real_crowd_table(tmp_path: Path) -> None:
    with gzip.open(DATA / "crowd" / "ukp_items.jsonl.gz", "rt", encoding="utf-8") as file:
        text = {item["item"]: item["text"] for item in map(json.loads, file)}
    with gzip.open(DATA / "crowd" / "ukp_judgments.csv.gz", "rt", encoding="utf-8", newline="") as file:
        found = [row for _, row in zip(range(2000), csv.DictReader(file), strict=False)]
    for row in found:
        row.update({"left": text[row["left"]], "right": text[row["right"]]})
    columns = {
        "prompt": "topic",
        "response_a": "left",
        "response_b": "right",
        "choice": "label",
        "rater": "worker",
        "created_at": "t1",
    }
    settings = TableSettings(columns=columns, values={"a1": "a", "a2": "b", "equal": "tie"})
    parsed = read_table(write(tmp_path / "ukp.csv", found), dataset="ukp", settings=settings)
    assert parsed.problems == ()
    assert len(parsed.judgments) + parsed.duplicates == 2000
    assert len(parsed.raters) == len({row["worker"] for row in found})
