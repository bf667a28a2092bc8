import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import ImportRefused
from backstay.feedback.importing import import_into, read_production
from backstay.records import content_id
from backstay.records.production import LABEL, REFERENCE
from backstay.storage import Store

ANSWER = {
    "text": "with yeast",
    "model": "m",
    "source": {"exchange": "e1", "decisions": ["d1", "d2"], "policy": "f" * 64, "effect": "allow"},
}
OTHER = ANSWER | {"text": "with sourdough", "source": ANSWER["source"] | {"exchange": "e2"}}  # type: ignore[operator]  # a dict
VOTE = {"rater": "thumb-1", "winner": 1, "at": "2026-11-01T00:00:00.000Z", "comment": "dry", "feedback": ["t1", "t2"]}


def task(**more: Any) -> dict[str, Any]:
    row = {"why": "answers", "messages": [{"role": "user", "content": "how?"}], "responses": [ANSWER, OTHER]}
    return row | {"dimension": "overall", "votes": [VOTE]} | more


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("winner", [0, 1])
def test_records_carry_label_and_provenance(tmp_path: Path, winner: int) -> None:
    path = write(tmp_path / "tasks.jsonl", task(votes=[VOTE | {"winner": winner}]))
    parsed = read_production(path, dataset="d", heldout_share=0.0)
    (prompt,), (found,), (judgment,), (rater,) = parsed.prompts, parsed.tasks, parsed.judgments, parsed.raters
    assert (prompt.source, prompt.tags, prompt.split) == ("production", {"label": LABEL}, "train")
    texts = {one.id: one.text for one in parsed.responses}
    (preferred,) = judgment.choice.ranking[0]
    assert texts[found.response_ids[preferred]] == ("with yeast", "with sourdough")[winner]
    assert found.response_ids == tuple(sorted(texts)) and found.gold is None
    assert {one.sampling["exchange"] for one in parsed.responses} == {"e1", "e2"}
    assert (judgment.rater_id, judgment.rationale, judgment.flags) == ("thumb-1", "dry", ("production",))
    assert (rater.role, rater.cohort, rater.simulated) == ("rater", {"cohort": "production"}, False)


def test_tasks_without_votes_are_stored_and_stay_once(tmp_path: Path) -> None:
    reference = {"text": "I can't help with that."}
    denied = task(why="denied_answer", dimension="harmless", responses=[ANSWER, reference], votes=[])
    path = write(tmp_path / "tasks.jsonl", denied, denied)
    with Store(tmp_path, create=True) as store:
        report = import_into(store, read_production(path, dataset="d"))
        assert (report.tasks, report.judgments, report.responses) == (1, 0, 2)
        assert report.summary().startswith("1 tasks to be judged on 1 new prompts into d")
        again = import_into(store, read_production(path, dataset="d"))
        assert (again.tasks, again.prompts, again.responses) == (0, 0, 0)
        (declines,) = [one for one in store.repository.responses("d") if one.policy == REFERENCE]
        assert declines.sampling == {} and store.verify().ok


def test_a_later_harvest_adds_what_is_new(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", task())
    elsewhere = ANSWER | {"source": ANSWER["source"] | {"exchange": "e9"}}  # type: ignore[operator]  # a dict
    more = VOTE | {"rater": "thumb-2", "feedback": ["t3", "t4"]}
    second = write(tmp_path / "b.jsonl", task(responses=[elsewhere, OTHER], votes=[VOTE, more]))
    with Store(tmp_path, create=True) as store:
        import_into(store, read_production(first, dataset="d"))
        report = import_into(store, read_production(second, dataset="d"))
        assert (report.tasks, report.judgments, report.known) == (0, 1, 1)
        exchanges = {one.text: one.sampling["exchange"] for one in store.repository.responses("d")}
        assert exchanges["with yeast"] == "e1"  # Where it was seen first.
        assert store.verify().ok


def test_suspect_votes_are_not_imported(tmp_path: Path) -> None:
    path = write(tmp_path / "tasks.jsonl", task(votes=[], suspect_votes=[VOTE]))
    parsed = read_production(path, dataset="d")
    assert len(parsed.tasks) == 1 and parsed.judgments == () and parsed.raters == ()


def test_a_judgment_is_known_by_its_thumbs(tmp_path: Path) -> None:
    parsed = read_production(write(tmp_path / "tasks.jsonl", task(), task()), dataset="d")
    (judgment,) = parsed.judgments
    assert judgment.id == content_id("judgment", ["production", parsed.tasks[0].id, ["t1", "t2"]])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (task(label="our own"), "label"),
        (task(gold=0), "gold: Extra inputs are not permitted"),
        (task(responses=[ANSWER]), "responses"),
        (task(responses=[ANSWER, ANSWER]), "both responses are the same text"),
        (task(messages=[{"role": "assistant", "content": "x"}]), "does not end with a user's turn"),
        (task(votes=[VOTE | {"winner": 2}]), "votes.0.winner"),
        (task(votes=[VOTE | {"rater": ""}]), "votes.0.rater"),
        (task(version=2), "version"),
        (task(wanted=0), "wanted"),
        (task(messages=[{"role": "user", "content": "a\x00b"}]), "NUL"),
    ],
)
def test_bad_rows_are_refused_with_their_line(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    parsed = read_production(write(tmp_path / "tasks.jsonl", task(), row), dataset="d")
    assert (
        parsed.problem_count == 1 and parsed.problems[0].startswith("line 2, column ") and problem in parsed.problems[0]
    )
    with Store(tmp_path, create=True) as store, pytest.raises(ImportRefused, match="nothing was stored"):
        import_into(store, parsed)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="holds no rows"):
        read_production(write(tmp_path / "tasks.jsonl"), dataset="d")
