import json
from pathlib import Path
from typing import Any

import pytest

from backstay.feedback.importing import FieldSettings, ParsedImport, read_label_studio

DATA = {"prompt": "Why?", "answer1": "one", "answer2": "two"}
ITEMS = {"prompt": "Why?", "items": [{"id": name, "title": "t", "body": name.upper()} for name in ("a", "b", "c")]}


def result(kind: str, value: dict[str, Any], name: str = "pw") -> dict[str, Any]:
    return {"id": "x1", "from_name": name, "to_name": "a,b", "type": kind, "value": value}


def annotation(*results: dict[str, Any], by: Any = 7, **more: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": by, "result": list(results), "was_cancelled": False, "lead_time": 4.2884} | more


def task(data: Any, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": data, "annotations": list(annotations), "predictions": [{"result": []}], "project": 3}


def read(folder: Path, *rows: Any, **settings: Any) -> ParsedImport:
    path = folder / "export.json"
    path.write_text(json.dumps(list(rows), indent=1), encoding="utf-8")
    return read_label_studio(path, dataset="d", settings=FieldSettings(**settings))


def orders(parsed: ParsedImport) -> dict[str, Any]:
    texts = {response.id: response.text for response in parsed.responses}
    tasks = {task.id: task for task in parsed.tasks}
    return {
        one.rater_id: [sorted(texts[tasks[one.task_id].response_ids[k]] for k in group) for group in one.choice.ranking]
        for one in parsed.judgments
    }


def test_pairs_with_who_when_and_how_long(tmp_path: Path) -> None:
    person = {"id": 8, "email": "bob@example.org", "first_name": "Bob"}
    parsed = read(
        tmp_path,
        task(
            DATA,
            annotation(result("pairwise", {"selected": "left"}), created_at="2021-03-09T22:16:08.728353Z"),
            annotation(
                result("pairwise", {"selected": "right"}),
                result("textarea", {"text": ["a", "b"]}, "comment"),
                by=person,
            ),
            annotation(by=9, was_cancelled=True),
        ),
    )
    assert parsed.problems == ()
    assert orders(parsed) == {"label-studio:7": [["one"], ["two"]], "label-studio:8": [["two"], ["one"]]}
    first, second = parsed.judgments
    assert (first.duration_ms, first.created_at) == (4288, "2021-03-09T22:16:08.728Z")
    assert second.rationale == "a\nb"
    assert "bob" not in "".join(rater.to_json().lower() for rater in parsed.raters)
    texts = {response.id: response.text for response in parsed.responses}
    assert [texts[parsed.tasks[0].response_ids[k]] for k in first.order_shown] == ["one", "two"]
    assert parsed.notes == ("1 annotations were skipped by their raters",)


@pytest.mark.parametrize(
    ("value", "order"),
    [
        ({"rank": ["b", "a", "c"]}, [["B"], ["A"], ["C"]]),
        ({"rank 1": ["c"], "rank 2": ["a", "b"], "_": []}, [["C"], ["A", "B"]]),
    ],
)
def test_rankers(tmp_path: Path, value: Any, order: Any) -> None:
    parsed = read(tmp_path, task(ITEMS, annotation(result("ranker", {"ranker": value}, "rank"))))
    assert orders(parsed) == {"label-studio:7": order}


def test_choices_name_a_response_or_are_mapped(tmp_path: Path) -> None:
    row = task(DATA, annotation(result("choices", {"choices": ["Answer 2"]}, "helpful")))
    parsed = read(tmp_path, row)
    assert orders(parsed) == {"label-studio:7": [["two"], ["one"]]}
    assert parsed.tasks[0].dimension == "helpful"
    row = task(DATA, annotation(result("choices", {"choices": ["much better"]})))
    assert orders(read(tmp_path, row, values={"much better": "b"})) == {"label-studio:7": [["two"], ["one"]]}


def test_rows_of_json_min(tmp_path: Path) -> None:
    base = {**DATA, "id": 1, "annotation_id": 3, "created_at": "2023-08-28T03:18:13Z", "lead_time": 6.772}
    parsed = read(
        tmp_path,
        {**base, "annotator": 1, "pw": [{"selected": "right"}], "notes": "why not"},
        {**base, "annotator": 2, "best": "answer1"},
        {**base, **ITEMS, "annotator": 3, "rank": {"ranker": {"rank": ["c", "b", "a"]}}},
    )
    assert parsed.problems == ()
    assert orders(parsed) == {
        "label-studio:1": [["two"], ["one"]],
        "label-studio:2": [["one"], ["two"]],
        "label-studio:3": [["C"], ["B"], ["A"]],
    }
    assert parsed.judgments[0].rationale == "why not"


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ({"id": 1}, "", "is no task with data and annotations"),
        (task(3), "data", "is a number"),
        (
            task(DATA, annotation(result("pairwise", {"selected": None}))),
            "annotations.0.result.0.value",
            "not left or right",
        ),
        (task(DATA, annotation(result("rating", {"rating": 3}))), "annotations.0.result", "no result compares"),
        (
            task(DATA, annotation(result("pairwise", {"selected": "left"}), by=None)),
            "annotations.0.completed_by",
            "who made it",
        ),
        (
            task(DATA, annotation(result("pairwise", {"selected": "left"}), lead_time=-1)),
            "annotations.0.lead_time",
            "not a number of",
        ),
        (
            task(DATA, annotation(result("pairwise", {"selected": "left"}), created_at="now")),
            "annotations.0.created_at",
            "ISO 8601",
        ),
        (
            task(ITEMS, annotation(result("ranker", {"ranker": {"best": ["a"], "ads": ["b", "c"]}}))),
            "annotations.0.result.0.value",
            "no order",
        ),
        (
            task(ITEMS, annotation(result("ranker", {"ranker": {"rank": ["a", "a", "b"]}}))),
            "annotations.0.result.0.value",
            "twice",
        ),
        (
            task(ITEMS, annotation(result("ranker", {"ranker": {"rank": ["a", "b"]}}))),
            "annotations.0.result.0.value",
            "ranks 2 of 3",
        ),
    ],
)
def test_bad_tasks_say_which_value_is_at_fault(tmp_path: Path, row: Any, field: str, said: str) -> None:
    parsed = read(tmp_path, task({**DATA, "prompt": "good"}, annotation(result("pairwise", {"selected": "left"}))), row)
    [problem] = parsed.refused
    assert problem.field == field
    assert said in problem.problem
    lines = (tmp_path / "export.json").read_text(encoding="utf-8").split("\n")
    here = "\n".join([lines[problem.line - 1][problem.column - 1 :], *lines[problem.line :]])
    value = row
    for step in field.split(".") if field else []:
        value = value[int(step) if step.isdigit() else step]
    assert json.JSONDecoder().raw_decode(here)[0] == value
