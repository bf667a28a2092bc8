import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import UsageError
from backstay.feedback.importing import FieldSettings, ParsedImport, read_argilla

FIELDS = {"prompt": "Why?", "response-1": "one", "response-2": "two", "response-3": "three"}
PAIR = {"prompt": "Why?", "response-1": "one", "response-2": "two"}


def read(folder: Path, *rows: Any, **settings: Any) -> ParsedImport:
    path = folder / "argilla.json"
    path.write_text(json.dumps(list(rows)), encoding="utf-8")
    return read_argilla(path, dataset="d", settings=FieldSettings(**settings))


def v2(fields: dict[str, Any], **answers: list[tuple[str, Any]]) -> dict[str, Any]:
    responses = {name: [{"value": value, "user_id": user} for user, value in found] for name, found in answers.items()}
    return {"id": "1", "fields": fields, "metadata": {}, "suggestions": {}, "responses": responses, "vectors": {}}


def v1(fields: dict[str, Any], *responses: tuple[str | None, str, dict[str, Any]]) -> dict[str, Any]:
    found = [
        {"user_id": user, "status": status, "values": {name: {"value": value} for name, value in values.items()}}
        for user, status, values in responses
    ]
    return {"fields": fields, "external_id": None, "metadata": {}, "responses": found, "suggestions": []}


def verdicts(parsed: ParsedImport) -> dict[tuple[str, str], Any]:
    """Texts best first, "bad" for both bad, by rater and dimension."""
    texts = {response.id: response.text for response in parsed.responses}
    tasks = {task.id: task for task in parsed.tasks}
    found: dict[tuple[str, str], Any] = {}
    for one in parsed.judgments:
        ids = tasks[one.task_id].response_ids
        groups = [sorted(texts[ids[k]] for k in group) for group in one.choice.ranking]
        found[one.rater_id, tasks[one.task_id].dimension] = groups or "bad"
    return found


def test_rankings_of_several_users_with_ties_in_both_shapes_of_a_value(tmp_path: Path) -> None:
    ranked = [
        {"value": "response-2", "rank": 1},
        {"value": "response-1", "rank": 2},
        {"value": "response-3", "rank": 2},
    ]
    parsed = read(tmp_path, v2(FIELDS, overall=[("u1", ranked), ("u2", ["response-3", "response-1", "response-2"])]))
    assert parsed.problems == ()
    assert verdicts(parsed) == {
        ("argilla:u1", "overall"): [["two"], ["one", "three"]],
        ("argilla:u2", "overall"): [["three"], ["one"], ["two"]],
    }


def test_version_1_counts_submitted_responses_only(tmp_path: Path) -> None:
    ranking = [{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 2}]
    parsed = read(
        tmp_path,
        v1(PAIR, ("u1", "submitted", {"preference": ranking, "comment": "clear"}), ("u2", "discarded", {})),
        v1({**PAIR, "prompt": "Other?"}, ("u1", "draft", {"preference": ranking})),
    )
    assert verdicts(parsed) == {("argilla:u1", "overall"): [["one"], ["two"]]}
    assert parsed.judgments[0].rationale == "clear"
    assert set(parsed.notes) == {
        "1 records without a submitted response",
        "1 responses are discarded, not submitted",
        "1 responses are draft, not submitted",
    }


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        ("response-2", [["two"], ["one"]]),
        ("Response 2", [["two"], ["one"]]),
        ("B", None),
        ("tie", [["one", "two"]]),
        ("Both bad", "bad"),
    ],
)
def test_labels(tmp_path: Path, label: str, verdict: Any) -> None:
    parsed = read(tmp_path, v2(PAIR, helpfulness=[("u", label)]))
    assert verdicts(parsed) == ({} if verdict is None else {("argilla:u", "helpful"): verdict})
    assert parsed.problem_count == (verdict is None)


def test_labels_of_ones_own_need_a_map(tmp_path: Path) -> None:
    row = v2(PAIR, better=[("u", "the first")])
    [problem] = read(tmp_path, row).refused
    assert problem.field == "responses.better.0.value"
    assert "none of the questions 'better' compares the responses" in problem.problem
    assert verdicts(read(tmp_path, row, values={"the first": "a"})) == {("argilla:u", "overall"): [["one"], ["two"]]}


def test_a_rating_a_response_becomes_a_ranking(tmp_path: Path) -> None:
    ratings: dict[str, Any] = {"response-1-rating": [("u", 2)], "rating-2": [("u", 5)], "response-3": [("u", 2)]}
    assert verdicts(read(tmp_path, v2(FIELDS, **ratings))) == {("argilla:u", "overall"): [["two"], ["one", "three"]]}


def test_names_of_ones_own_and_a_chat_for_a_prompt(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
    ]
    row = v2({"ask": chat, "left text": "one", "right text": "two"}, pick=[("u", "left text")], other=[("u", "tie")])
    columns = {"prompt": "ask", "response_1": "left text", "response_2": "right text", "choice": "pick"}
    parsed = read(tmp_path, row, columns=columns)
    assert len(parsed.prompts[0].messages) == 3
    assert verdicts(parsed) == {("argilla:u", "overall"): [["one"], ["two"]]}
    assert parsed.notes == ("1 answers to 'other' are not read",)


def test_an_address_is_kept_as_a_hash_only(tmp_path: Path) -> None:
    parsed = read(tmp_path, v2(PAIR, overall=[("Ann@example.org", "response-1")]))
    [rater] = parsed.raters
    assert rater.id.startswith("argilla:")
    assert "ann" not in rater.to_json().lower().replace("display_name", "")


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ({"fields": []}, "fields", "is a list"),
        (v2({"prompt": "q", "response-1": "x"}, overall=[]), "fields", "no fields for the responses"),
        (v2({"response-1": "x", "response-2": "y"}), "fields", "no field for the prompt"),
        (v2(PAIR, overall=[("u", [{"value": "response-1", "rank": 1}])]), "responses.overall.0.value", "ranks 1 of 2"),
        (v2(PAIR, overall=[("u", [{"value": "x", "rank": 1}] * 2)]), "responses.overall.0.value", "no response"),
        (v2(FIELDS, overall=[("u", "response-1")]), "responses.overall.0.value", "names one response"),
        (v2(PAIR, overall=[("u", "tie")], better=[("u", "tie")]), "responses.better.0.value", "a second question"),
        (v1(PAIR, (None, "submitted", {"overall": "tie"})), "responses.0", "no user_id"),
        ({"fields": PAIR, "responses": 3}, "responses", "is a number"),
        (v2({**PAIR, "response-2": 4}, overall=[("u", "tie")]), "fields.response-2", "not text"),
    ],
)
def test_bad_records_say_which_value_is_at_fault(tmp_path: Path, row: Any, field: str, said: str) -> None:
    good = v2({**PAIR, "prompt": "good"}, overall=[("u", "tie")])
    parsed = read(tmp_path, good, row)
    [problem] = parsed.refused
    assert (problem.line, problem.field) == (1, field)
    assert said in problem.problem
    value = row
    for step in field.split("."):
        value = value[int(step) if step.isdigit() else step]
    assert json.dumps([good, row])[problem.column - 1 :].startswith(json.dumps(value))


def test_maps_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the column map names 'answer'"):
        read(tmp_path, {}, columns={"answer": "x"})
    with pytest.raises(UsageError, match="the value map leads to 'c'"):
        read(tmp_path, {}, values={"x": "c"})
