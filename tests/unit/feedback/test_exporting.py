import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.errors import UsageError
from backstay.feedback.exporting import export_judgments, export_pairs
from backstay.feedback.importing import ParsedImport, TableSettings, import_into, read_table, read_trl
from backstay.records import Message, Pair, Prompt, Response
from backstay.storage import Store

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.sampled_from(["Hi", 'a "quoted", text', "two\r\nlines", "=1+1"]),
            "response_a": TEXT.map(lambda text: f"a{text}"),
            "response_b": TEXT.map(lambda text: f"b{text}"),
            "choice": st.sampled_from(["a", "b", "tie", "both_bad"]),
            "rater": st.sampled_from(["ann", "bob,", "é"]),
        },
        optional={
            "duration_ms": st.integers(0, 10**6),
            "created_at": st.datetimes().map(lambda when: when.isoformat()),
            "rationale": TEXT,
            "first_shown": st.sampled_from(["a", "b"]),
            "dimension": st.sampled_from(["helpful", "harmless"]),
        },
    ),
    min_size=1,
    max_size=6,
)


def essence(parsed: ParsedImport) -> list[str]:
    """Everything but the ids, which depend on the file."""
    records = [*parsed.prompts, *parsed.responses, *parsed.tasks, *parsed.raters, *parsed.judgments]
    bare = [record.model_copy(update={"id": ""}) if hasattr(record, "rater_id") else record for record in records]
    return sorted(record.to_json() for record in bare)


@settings(max_examples=15, deadline=None)
@given(rows=ROWS)
def test_export_and_import_come_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    parsed = read_table(folder / "in.jsonl", dataset="d")
    assert parsed.problems == ()
    with Store(folder, create=True) as store:
        import_into(store, parsed)
        for suffix in ("csv", "jsonl", "parquet"):
            report = export_judgments(folder / f"out.{suffix}", store.repository, "d")
            assert (report.written, report.left_out) == (len(parsed.judgments), {"more than two responses": 0})
            again = read_table(folder / f"out.{suffix}", dataset="d", settings=TableSettings(prompt_kind="messages"))
            assert again.problems == ()
            assert essence(again) == essence(parsed)


PROMPT = Prompt.make((Message(role="user", content="Colour?"),), source="test")
BLUE, GREEN = (Response.make(PROMPT.id, text, policy="test") for text in ("Blue.", "Green."))


def pair(p_a: float, status: str = "accepted") -> Pair:
    return Pair.model_validate(
        {"id": f"pair-{p_a}", "prompt_id": PROMPT.id, "a": BLUE.id, "b": GREEN.id, "p_a": p_a, "weight": 0.5}
        | {"status": status}
    )


def test_pairs_become_trl_rows_that_read_back(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs = [pair(0.25), pair(0.5), pair(0.9, "quarantined")]
    report = export_pairs(path, pairs, [PROMPT], [BLUE, GREEN])
    assert (report.written, report.left_out) == (1, {"quarantined": 1, "undecided": 1})
    row = json.loads(path.read_text(encoding="utf-8"))
    assert (row["p_chosen"], row["weight"], row["pair_id"]) == (0.75, 0.5, "pair-0.25")
    assert row["chosen"] == [{"role": "assistant", "content": "Green."}]
    parsed = read_trl(path, dataset="d")
    assert parsed.problems == ()
    assert parsed.prompts[0].messages == PROMPT.messages


def test_pair_without_its_texts_writes_nothing(tmp_path: Path) -> None:
    stray = pair(0.75).model_copy(update={"b": "response-none"})
    with pytest.raises(UsageError, match=r"pair 'pair-0\.75': its prompt or a response is not among those given"):
        export_pairs(tmp_path / "pairs.jsonl", [pair(0.25), stray], [PROMPT], [BLUE, GREEN])
    assert list(tmp_path.iterdir()) == []
