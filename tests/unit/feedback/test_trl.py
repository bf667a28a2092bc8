import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backstay.errors import UsageError
from backstay.feedback.importing import ParsedImport, read_trl


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(tmp_path: Path, *rows: dict[str, Any]) -> ParsedImport:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return read_trl(path, dataset="t")


def turns(parsed: ParsedImport) -> list[tuple[str, str]]:
    [prompt] = parsed.prompts
    return [(message.role, message.content) for message in prompt.messages]


def verdict(parsed: ParsedImport) -> tuple[str, str]:
    [task], [judgment] = parsed.tasks, parsed.judgments
    texts = {response.id: response.text for response in parsed.responses}
    [[winner], [loser]] = judgment.choice.ranking
    return texts[task.response_ids[winner]], texts[task.response_ids[loser]]


ASK = ("user", "Colour of the sky?")
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": ASK[1], "chosen": "Blue.", "rejected": "Green."}, [ASK]),
        ({"chosen": "The sky is blue", "rejected": "The sky is bluish"}, [("user", "The sky is")]),
        ({"prompt": [user(ASK[1])], "chosen": [assistant("Blue.")], "rejected": [assistant("Green.")]}, [ASK]),
        (
            {"chosen": [user(ASK[1]), assistant("Blue.")], "rejected": [user(ASK[1]), assistant("Green.")]},
            [ASK],
        ),
        (
            {
                "prompt": [SYSTEM, user(ASK[1])],
                "chosen": [SYSTEM, user(ASK[1]), assistant("Blue.")],
                "rejected": [SYSTEM, user(ASK[1]), assistant("Green.")],
            },
            [("system", "Be brief."), ASK],
        ),
        (
            {"prompt": ASK[1], "chosen": [assistant("Blue.")], "rejected": [assistant("Green.")], "score": 1},
            [ASK],
        ),
        (
            {
                "chosen": f"\n\nHuman: {ASK[1]}\n\nAssistant: Blue.",
                "rejected": f"\n\nHuman: {ASK[1]}\n\nAssistant: Green.",
            },
            [ASK],
        ),
    ],
)
def test_forms_of_the_format(tmp_path: Path, row: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    parsed = read(tmp_path, row)
    assert parsed.problems == ()
    assert turns(parsed) == expected
    better, worse = verdict(parsed)
    assert (better.lower().strip("."), worse.lower().strip(".")) in {("blue", "green"), ("blue", "bluish")}


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"prompt": "x", "chosen": "same", "rejected": "same"}, "both responses are the same text"),
        ({"chosen": "Blue", "rejected": "Green"}, "there is no prompt"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "prompt is empty"),
        ({"prompt": "x", "chosen": "a"}, "has no rejected"),
        ({"prompt": "x", "chosen": [assistant("a")], "rejected": "b"}, "rejected is not a list of messages"),
        ({"prompt": "x", "chosen": [], "rejected": []}, "chosen is not a list of messages"),
        ({"prompt": "x", "chosen": [user("a")], "rejected": [user("b")]}, "does not end with the assistant's message"),
        (
            {"chosen": [user("1"), assistant("a")], "rejected": [user("2"), assistant("b")]},
            "differ before the last message",
        ),
        ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "does not end with a user's turn"),
        ({"prompt": [{"role": "tool", "content": "x"}], "chosen": "a", "rejected": "b"}, "with the role 'tool'"),
        ({"prompt": [{"role": ["user"], "content": "x"}], "chosen": "a", "rejected": "b"}, "with the role"),
        ({"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}, "not exactly a role and a content"),
        (
            {"prompt": [{"role": "user", "content": [{"text": "x"}]}], "chosen": "a", "rejected": "b"},
            "prompt content is a list, not text",
        ),
    ],
)
def test_bad_row_is_refused(tmp_path: Path, row: dict[str, Any], complaint: str) -> None:
    parsed = read(tmp_path, {"prompt": "ok", "chosen": "a", "rejected": "b"}, row)
    assert parsed.problem_count == 1
    assert parsed.problems[0].startswith("line 2, column ")
    assert complaint in parsed.problems[0]


def test_parquet_rows_give_the_same_records(tmp_path: Path) -> None:
    rows = [{"prompt": [user(f"q{n}")], "chosen": [assistant("a")], "rejected": [assistant("b")]} for n in range(150)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    from_parquet = read_trl(tmp_path / "rows.parquet", dataset="t")
    from_json = read(tmp_path, *rows)
    assert from_parquet.prompts == from_json.prompts
    assert from_parquet.tasks == from_json.tasks
    assert [judgment.choice for judgment in from_parquet.judgments] == [j.choice for j in from_json.judgments]


def test_csv_is_not_a_trl_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TRL data comes as jsonl or Parquet"):
        read_trl(tmp_path / "rows.csv", dataset="t")
