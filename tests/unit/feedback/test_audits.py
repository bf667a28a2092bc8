import json
from pathlib import Path

import pytest

from backstay.errors import UsageError
from backstay.feedback import audit_questions, read_audits
from backstay.records import Message, Pair, Prompt, Response


def question(**changes: object) -> dict[str, object]:
    prompt = Prompt.make((Message(role="user", content="Which?"),), source="test")
    pair = Pair(id="pair", prompt_id=prompt.id, a="x", b="y", p_a=0.9, weight=1.0)
    texts = {name: Response(id=name, prompt_id=prompt.id, text=f"text {name}", policy="p") for name in ("x", "y")}
    return audit_questions([pair], {prompt.id: prompt}, texts)[0] | changes


def written(folder: Path, *lines: object) -> Path:
    path = folder / "audit.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_a_question_shows_texts_and_nothing_of_what_raters_said() -> None:
    row = question()
    assert row["text_a"] == "text x"
    assert row["prompt"] == ["user: Which?"]
    assert row["better"] is None
    assert not {"p_a", "weight", "dispute"} & row.keys()


def test_answers_are_read_and_open_questions_passed_over(tmp_path: Path) -> None:
    found = read_audits(written(tmp_path, question(), "", question(better="b", by="me", a="v")))
    assert [(audit.winner, audit.by) for audit in found] == [("y", "me")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: no JSON object"),
        (question(better="x"), "line 2: better"),
        ({"better": "a"}, "line 2: prompt_id"),
        ("[1]", "line 2"),
        (question(better="b"), "contradicts"),
        (question(better="a", a="y", b="x"), "contradicts"),
    ],
)
def test_what_does_not_fit_is_named_by_line(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_audits(written(tmp_path, question(better="a"), line))


def test_the_same_answer_twice_is_one(tmp_path: Path) -> None:
    same = question(better="b", a="y", b="x")
    assert len(read_audits(written(tmp_path, question(better="a"), same))) == 1
