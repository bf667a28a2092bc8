import json
from pathlib import Path
from typing import Any

import pytest

from backstay.feedback.importing import ParsedImport, read_ultrafeedback


def completion(
    text: str, overall: Any = None, helpful: Any = None, honest: Any = None, model: str = "m"
) -> dict[str, Any]:
    annotations = {
        "helpfulness": {"Rating": helpful, "Rationale": "r", "Type": ["1"], "Rationale For Rating": "r"},
        "honesty": [{"Rating": honest, "Rationale": "r"}],
        "truthfulness": {"Rating": "1"},
    }
    return {"model": model, "response": text, "annotations": annotations, "overall_score": overall, "critique": "c"}


def read(path: Path, *rows: Any, name: str = "uf.jsonl") -> ParsedImport:
    file = path / name
    text = json.dumps(list(rows)) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")
    return read_ultrafeedback(file, dataset="d")


def rankings(parsed: ParsedImport) -> dict[str, list[list[str]]]:
    """Texts best first, by dimension."""
    texts = {response.id: response.text for response in parsed.responses}
    tasks = {task.id: task for task in parsed.tasks}
    found: dict[str, list[list[str]]] = {}
    for judgment in parsed.judgments:
        task = tasks[judgment.task_id]
        found[task.dimension] = [
            sorted(texts[task.response_ids[k]] for k in group) for group in judgment.choice.ranking
        ]
    return found


@pytest.mark.parametrize("name", ["uf.jsonl", "uf.json"])
def test_ratings_of_k_answers_become_rankings_by_dimension(tmp_path: Path, name: str) -> None:
    row = {
        "instruction": "Why?",
        "completions": [
            completion("A", 7.5, "4", "2", "gpt-4"),
            completion("B", 9.0, "4", "5"),
            completion("C", 1.0, "5", "3"),
        ],
    }
    parsed = read(tmp_path, row, name=name)
    assert parsed.problems == ()
    assert rankings(parsed) == {
        "overall": [["B"], ["A"], ["C"]],
        "helpful": [["C"], ["A", "B"]],
        "honest": [["B"], ["C"], ["A"]],
    }
    assert {response.policy for response in parsed.responses} == {"gpt-4", "m"}
    assert (parsed.raters[0].id, parsed.raters[0].role) == ("import:d", "import")
    assert len({judgment.id for judgment in parsed.judgments}) == 3


def test_a_dimension_with_a_missing_rating_is_left_out_and_said(tmp_path: Path) -> None:
    row = {"instruction": "Why?", "completions": [completion("A", 1, "N/A", "2"), completion("B", 2, "3", "N/A")]}
    parsed = read(tmp_path, row)
    assert rankings(parsed) == {"overall": [["B"], ["A"]]}
    assert parsed.notes == (
        "1 rows lack a rating on helpful: no judgment on it",
        "1 rows lack a rating on honest: no judgment on it",
    )


def test_equal_texts_count_once(tmp_path: Path) -> None:
    row = {
        "instruction": "Why?",
        "completions": [completion("A", 3), completion("B", 2), completion("A", 1, model="n")],
    }
    parsed = read(tmp_path, row)
    assert rankings(parsed)["overall"] == [["A"], ["B"]]
    assert parsed.notes == ("1 completions repeat the text of an earlier one of their row",)


def binarized(high: Any, low: Any) -> dict[str, Any]:
    ask = {"role": "user", "content": "Why?"}
    return {
        "prompt": "Why?",
        "prompt_id": "1",
        "chosen": [ask, {"role": "assistant", "content": "good"}],
        "rejected": [ask, {"role": "assistant", "content": "bad"}],
        "messages": [],
        "score_chosen": high,
        "score_rejected": low,
    }


def test_the_binarized_layout(tmp_path: Path) -> None:
    assert rankings(read(tmp_path, binarized(8.0, 3.5)))["overall"] == [["good"], ["bad"]]
    assert rankings(read(tmp_path, binarized(8.0, 8.0)))["overall"] == [["bad", "good"]]


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        (binarized(1.0, 2.0), "score_chosen", "below score_rejected"),
        (
            {"instruction": "q", "completions": [completion("A", "x"), completion("B", 1)]},
            "completions.0.overall_score",
            "not a number",
        ),
        (
            {"instruction": "q", "completions": [completion("A", 1), completion("A", 1)]},
            "completions",
            "has 1 different responses",
        ),
        ({"instruction": "q", "completions": [completion("A"), completion("B")]}, "completions", "no overall_score"),
        ({"instruction": " ", "completions": [completion("A", 1), completion("B", 2)]}, "instruction", "is empty"),
        ({"instruction": "q", "completions": 3}, "completions", "is a number"),
        ({"prompt": "q", "chosen": "x"}, "", "no rejected"),
        ({"instruction": "q", "completions": [{"response": 4}]}, "completions.0.response", "not text"),
    ],
)
def test_bad_rows_say_which_value_is_at_fault(tmp_path: Path, row: Any, field: str, said: str) -> None:
    parsed = read(tmp_path, row)
    [problem] = parsed.refused
    assert (problem.line, problem.field) == (1, field)
    assert said in problem.problem
    if field:
        value = row
        for step in field.split("."):
            value = value[int(step) if step.isdigit() else step]
        assert json.dumps(row)[problem.column - 1 :].startswith(json.dumps(value))
