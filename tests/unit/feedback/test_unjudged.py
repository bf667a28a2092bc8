"""Responses that nobody has judged: read from three kinds of files, and asked of raters."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import select

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.collection import ProjectSettings, create_project, fill_page, find_item, issue, skip
from backstay.feedback.importing import ImportReport, ImportSettings, import_stream
from backstay.records import Prompt, Task
from backstay.storage import Store
from backstay.storage.batch import Batch
from backstay.storage.console_tables import gold_items
from backstay.storage.engine import write_transaction
from backstay.storage.unit import Unit

ROWS: list[dict[str, Any]] = [
    {"prompt": "Why is the sky blue?", "response_a": "Light scatters.", "response_b": "It is painted."},
    {"prompt": "Name a river.", "response_a": "Rhine", "response_b": "", "response_c": "Elbe", "policy_c": "m-2"},
]


def imported(folder: Path, path: Path, **more: Any) -> ImportReport:
    with Store(folder, create=True) as store:
        return import_stream(store.repository, path, "unjudged", ImportSettings(dataset="d", **more))


def texts(folder: Path) -> list[tuple[str, list[str]]]:
    """Each prompt, with the texts of its task."""
    with Store(folder) as store:
        answers = {response.id: response for response in store.repository.responses("d")}
        asked: dict[str, Prompt] = {prompt.id: prompt for prompt in store.repository.prompts("d")}
        tasks: list[Task] = list(store.repository.tasks("d"))
    return sorted(
        (asked[task.prompt_id].messages[-1].content, sorted(answers[one].text for one in task.response_ids))
        for task in tasks
    )


def as_csv(path: Path) -> None:
    path.write_text(
        "prompt,response_a,response_b,response_c,policy_c\n"
        "Why is the sky blue?,Light scatters.,It is painted.,,\nName a river.,Rhine,,Elbe,m-2\n"
    )


def as_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_document(path: Path) -> None:
    listed = {"prompt": "Name a river.", "responses": ["Rhine", {"text": ""}, {"text": "Elbe", "policy": "m-2"}]}
    path.write_text(json.dumps([ROWS[0], listed], indent=1))


def as_parquet(path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist([{"response_c": None, "policy_c": None} | row for row in ROWS]), path)


def as_packed(path: Path) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("r.csv", as_csv),
        ("r.jsonl", as_lines),
        ("r.json", as_document),
        ("r.parquet", as_parquet),
        ("r.jsonl.gz", as_packed),
    ],
)
def test_it_is_the_same_from_every_kind_of_file(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    report = imported(tmp_path, tmp_path / name)
    assert (report.rows, report.prompts, report.responses, report.tasks, report.judgments) == (2, 2, 5, 2, 0)
    assert "2 tasks to be judged on 2 new prompts" in report.summary()
    assert texts(tmp_path) == [
        ("Name a river.", ["", "Elbe", "Rhine"]),
        ("Why is the sky blue?", ["It is painted.", "Light scatters."]),
    ]
    with Store(tmp_path) as store:
        assert {response.policy for response in store.repository.responses("d")} == {"imported", "m-2"}
    again = imported(tmp_path, tmp_path / name)
    assert (again.prompts, again.tasks) == (0, 0)
    assert again.summary() == "nothing new for d: all of it was imported before"


def test_a_table_without_a_choice_is_told_of_this_format(tmp_path: Path) -> None:
    as_csv(tmp_path / "r.csv")
    with Store(tmp_path, create=True) as store, pytest.raises(ImportRefused, match="has no column 'choice'") as refused:
        import_stream(store.repository, tmp_path / "r.csv", "csv", ImportSettings(dataset="d"))
    assert "or import it as unjudged" in str(refused.value.cure)


def test_raters_are_asked_about_it(tmp_path: Path) -> None:
    """Two responses as a pair, three as a ranking; the settled one is gold."""
    rows = [*ROWS, {"prompt": "2 + 2?", "response_a": "5", "response_b": "4", "gold": "b"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported(tmp_path, tmp_path / "r.jsonl")
    settings = ProjectSettings(gold_share=0.5, repeat_share=0.0)
    with Store(tmp_path) as store, write_transaction(store.engine) as connection:
        unit = Unit(connection, Batch(connection), 1_800_000_000_000)
        project = create_project(unit, "p", "P", "d", settings, "lead")
        assert fill_page(unit, project)[0] == 3
        sizes = []
        while (found := issue(unit, project, "ann", b"k" * 16).assignment) is not None:
            sizes.append(len(found.order_shown))
            skip(unit, found.id, "ann", f"key-{found.id}", "other", "", b"k" * 16)
        [gold] = connection.execute(select(gold_items.c.item_id, gold_items.c.best)).all()
        item = find_item(connection, "p", gold.item_id)
        assert item is not None
        best = item.response_ids[gold.best]
    assert sorted(sizes) == [2, 2, 3]
    with Store(tmp_path) as store:
        assert [one.text for one in store.repository.responses("d") if one.id == best] == ["4"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "q", "response_a": "x"}, "has no response_b"),
        ({"prompt": "", "response_a": "x", "response_b": "y"}, "has no prompt"),
        ({"prompt": "q", "response_a": "x", "response_b": "x"}, "both responses are the same text"),
        ({"prompt": "q", "response_a": "x", "response_b": "y", "response_d": "z"}, "has response_d, and no response_c"),
        ({"prompt": "q", "responses": ["x"]}, "has 1 responses"),
        ({"prompt": "q", "responses": {"a": "x"}}, "responses is an object, not a list"),
        ({"prompt": "q", "responses": ["x", {"text": "y", "score": 1}]}, "a response has 'score'"),
        ({"prompt": "q", "responses": ["x", {"policy": "m"}]}, "text is null, not text"),
        ({"prompt": "q", "responses": ["x", {"text": "y", "policy": "a\nb"}]}, "policy is not 1 to 200 printable"),
        ({"prompt": "q", "response_a": "x", "response_b": "y", "gold": "c"}, "gold is 'c'; accepted: a to b"),
        ({"prompt": [{"role": "assistant", "content": "q"}], "responses": ["x", "y"]}, "end with a user's turn"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(ImportRefused, match=said) as refused:
        imported(tmp_path, tmp_path / "r.jsonl")
    assert [found["line"] for found in refused.value.rows] == [2]


@pytest.mark.parametrize("name", ["choice", "rater", "chosen", "winner"])
def test_a_file_that_was_judged_is_not_taken_for_one_that_was_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(ROWS[0] | {name: "a"}) + "\n")
    with pytest.raises(ImportRefused, match="as a file that was judged"):
        imported(tmp_path, tmp_path / "r.jsonl")


def test_columns_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("question,chosen,other\nq,x,y\n")
    mapped = {"prompt": "question", "response_a": "chosen", "response_b": "other"}
    assert imported(tmp_path, tmp_path / "r.csv", columns=mapped).tasks == 1
    with pytest.raises(ImportRefused, match="has no column 'response_b'; it has 'question', 'chosen', 'other'"):
        imported(tmp_path, tmp_path / "r.csv", columns={"prompt": "question", "response_a": "chosen"})
    with pytest.raises(UsageError, match="'respond_a', which is not known"):
        imported(tmp_path, tmp_path / "r.csv", columns={"respond_a": "x"})
