import gzip
import json
import os
from pathlib import Path

import pytest

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing import ParsedImport, import_into, read_hh_rlhf, split_of
from backstay.records import Message
from backstay.storage import Store

HELLO = "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: What is 2+2?\n\nAssistant:"
DATA = Path(os.environ.get("BACKSTAY_DATA", Path(__file__).parents[4] / "shared" / "data"))


def write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def pair(chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": chosen, "rejected": rejected}


def read(path: Path) -> ParsedImport:
    return read_hh_rlhf(path, dataset="hh")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_dialogue_becomes_messages_and_a_preference(tmp_path: Path, name: str) -> None:
    parsed = read(write(tmp_path / name, pair(f"{HELLO} Four.\n\nReally.", f"{HELLO} Five.")))
    [prompt], [task], [judgment], [rater] = parsed.prompts, parsed.tasks, parsed.judgments, parsed.raters
    assert prompt.messages == (
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi."),
        Message(role="user", content="What is 2+2?"),
    )
    texts = {response.id: response.text for response in parsed.responses}
    [[winner], [loser]] = judgment.choice.ranking
    assert texts[task.response_ids[winner]] == "Four.\n\nReally."
    assert texts[task.response_ids[loser]] == "Five."
    assert (rater.id, rater.role, rater.simulated) == ("import:hh", "import", False)
    assert (judgment.order_shown, judgment.created_at, judgment.duration_ms) == ((), "", None)


def test_place_of_the_better_response_tells_nothing(tmp_path: Path) -> None:
    rows = [pair(f"{HELLO} good {number}", f"{HELLO} bad {number}") for number in range(400)]
    parsed = read(write(tmp_path / "rows.jsonl", *rows))
    first = sum(judgment.choice.ranking[0] == (0,) for judgment in parsed.judgments)
    assert 150 < first < 250
    assert len({response.policy for response in parsed.responses}) == 1
    assert len(parsed.prompts) == 1


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (pair(f"{HELLO} Four.", "\n\nHuman: Else\n\nAssistant: Five."), "chosen and rejected differ before the"),
        (pair(f"{HELLO} Four.", f"{HELLO} Four.\n\nHuman: Thanks"), "does not end with the assistant's turn"),
        (pair(f"{HELLO} Four.", f"{HELLO}  Four. "), "both responses are the same text"),
        (pair("Four.", "Five."), "does not begin with"),
        (pair("\n\nAssistant: a", "\n\nAssistant: b"), "does not end with a user's turn"),
        ({"chosen": HELLO}, "has no rejected"),
        ({}, "has no chosen and no rejected"),
        (pair(f"{HELLO} \x00", f"{HELLO} b"), "chosen contains a NUL character"),
        (pair(f"{HELLO} \ud800", f"{HELLO} b"), "chosen is not valid Unicode text"),
        ({"chosen": 3, "rejected": "x"}, "chosen is a number, not text"),
        ([1], "is a list, not an object"),
        (b'{"chosen": "a", "chosen": "b", "rejected": "c"}', "a key comes twice"),
        (b'{"chosen": NaN}', "NaN is not JSON"),
        (b"{'chosen'", "not valid JSON"),
        (b'{"chosen": "\xff"}', "not valid UTF-8 at byte 12"),
        (b"[" * 100_000, "JSON is nested too deeply"),
        (b'{"chosen": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_bad_row_is_refused_with_its_line_number(tmp_path: Path, row: object, complaint: str) -> None:
    good = pair(f"{HELLO} Four.", f"{HELLO} Five.")
    parsed = read(write(tmp_path / "rows.jsonl", good, b"", row, good))
    assert parsed.problem_count == 1
    assert parsed.problems[0].startswith("line 3, column ")
    assert complaint in parsed.problems[0]
    assert (parsed.rows, len(parsed.judgments), parsed.duplicates) == (3, 1, 1)


def test_repeated_row_counts_once_and_a_contradicting_one_stays(tmp_path: Path) -> None:
    good, bad = f"{HELLO} Four.", f"{HELLO} Five."
    parsed = read(write(tmp_path / "rows.jsonl", pair(good, bad), pair(bad, good), pair(good, bad)))
    assert (len(parsed.tasks), len(parsed.judgments), parsed.duplicates) == (1, 2, 1)
    assert {judgment.choice.ranking for judgment in parsed.judgments} == {((0,), (1,)), ((1,), (0,))}


def test_split_depends_on_the_prompt_alone() -> None:
    ids = [f"prompt-{number}" for number in range(20_000)]
    heldout = {prompt_id for prompt_id in ids if split_of(prompt_id, 0.1) == "heldout"}
    assert 1800 < len(heldout) < 2200
    assert heldout < {prompt_id for prompt_id in ids if split_of(prompt_id, 0.2) == "heldout"}
    assert not any(split_of(prompt_id, 0.0) == "heldout" for prompt_id in ids)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(ImportRefused, match="holds no rows"):
        read(write(tmp_path / "empty.jsonl"))
    with pytest.raises(ImportRefused, match=r"held-out share 1\.5"):
        read_hh_rlhf(write(tmp_path / "x.jsonl", {}), dataset="x", heldout_share=1.5)


@pytest.mark.skipif(not (DATA / "hh-rlhf").is_dir(), reason="hh-rlhf is not there; set BACKSTAY_DATA")
def test_real_file(tmp_path: Path) -> None:
    parsed = read(DATA / "hh-rlhf" / "harmless-base-test.jsonl.gz")
    assert (parsed.rows, len(parsed.judgments), parsed.duplicates) == (2312, 2307, 0)
    assert {problem.split(": ")[1] for problem in parsed.problems} == {
        "chosen and rejected differ before the assistant's last turn"
    }
    with Store(tmp_path, create=True) as store:
        with pytest.raises(ImportRefused, match="5 of 2312 rows break the format"):
            import_into(store, parsed)
        assert import_into(store, parsed, allow_partial=True).judgments == 2307
        assert store.verify().ok
