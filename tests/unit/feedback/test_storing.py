import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import ImportRefused
from backstay.feedback.importing import TableSettings, import_into, read_table, read_trl
from backstay.storage import Store


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def trl_rows(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Question {n}", "chosen": "Yes.", "rejected": "No."} for n in range(count)]


def test_import_stores_everything_and_says_so(tmp_path: Path) -> None:
    parsed = read_trl(write(tmp_path / "x.jsonl", [*trl_rows(5), trl_rows(1)[0]]), dataset="d")
    with Store(tmp_path, create=True) as store:
        report = import_into(store, parsed)
        [counts] = store.repository.datasets()
        assert store.verify().ok
    assert (counts.prompts, counts.responses, counts.tasks, counts.judgments, counts.raters) == (5, 10, 5, 5, 1)
    assert report.summary() == "5 judgments on 5 new prompts into d; 1 duplicate rows counted once"


def test_same_file_again_stores_nothing_and_says_so(tmp_path: Path) -> None:
    parsed = read_trl(write(tmp_path / "x.jsonl", trl_rows(3)), dataset="d")
    with Store(tmp_path, create=True) as store:
        import_into(store, parsed)
        before = (store.verify(), store.repository.dataset_digest("d"))
        report = import_into(store, parsed)
        assert (store.verify(), store.repository.dataset_digest("d")) == before
    assert report.summary() == "nothing new for d: all 3 judgments were imported before"
    assert (report.judgments, report.known, report.prompts) == (0, 3, 0)


def test_same_file_goes_into_another_data_set(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", trl_rows(3))
    with Store(tmp_path, create=True) as store:
        for name in ("one", "two"):
            assert import_into(store, read_trl(path, dataset=name)).judgments == 3
        assert store.repository.raters("two")[0].id == "import:two"
        assert store.verify().ok


def test_bad_rows_refuse_the_whole_file(tmp_path: Path) -> None:
    rows = [*trl_rows(2), *({"prompt": f"q{n}", "chosen": "x", "rejected": "x"} for n in range(25))]
    parsed = read_trl(write(tmp_path / "x.jsonl", rows), dataset="d")
    with Store(tmp_path, create=True) as store:
        with pytest.raises(ImportRefused) as refused:
            import_into(store, parsed)
        assert store.repository.datasets() == []
        message = str(refused.value)
        assert "25 of 27 rows break the format; nothing was stored" in message
        assert [line.strip().split(",")[0] for line in message.splitlines()[1:21]] == [
            f"line {n}" for n in range(3, 23)
        ]
        assert "and 5 more" in message
        assert "import the other 2 rows with --allow-partial" in message
        assert len(refused.value.problems) == 25
        report = import_into(store, parsed, allow_partial=True)
    assert report.summary() == "2 judgments on 2 new prompts into d; 25 of 27 rows refused"


def test_file_without_a_good_row_is_refused_even_in_part(tmp_path: Path) -> None:
    parsed = read_trl(write(tmp_path / "x.jsonl", [{"prompt": "x"}]), dataset="d")
    with Store(tmp_path, create=True) as store, pytest.raises(ImportRefused, match="1 of 1 rows"):
        import_into(store, parsed, allow_partial=True)


def test_prompts_of_two_formats_meet(tmp_path: Path) -> None:
    row = {"prompt": "Question 0", "response_a": "Yes.", "response_b": "Maybe.", "choice": "b", "rater": "ann"}
    with Store(tmp_path, create=True) as store:
        import_into(store, read_trl(write(tmp_path / "x.jsonl", trl_rows(1)), dataset="d"))
        report = import_into(store, read_table(write(tmp_path / "y.jsonl", [row]), dataset="d"))
        assert (report.prompts, report.responses, report.tasks, report.judgments) == (0, 1, 1, 1)


def test_same_file_read_in_another_way_is_refused(tmp_path: Path) -> None:
    row = {"prompt": "Question", "response_a": "Yes.", "response_b": "No.", "choice": "1", "rater": "ann"}
    path = write(tmp_path / "y.jsonl", [row])
    with Store(tmp_path, create=True) as store:
        import_into(store, read_table(path, dataset="d"))
        swapped = read_table(path, dataset="d", settings=TableSettings(values={"1": "a", "0": "b"}))
        with pytest.raises(ImportRefused, match="was imported into d before, but read in another way"):
            import_into(store, swapped)
        assert len(store.repository.judgments("d")) == 1


def test_crash_half_way_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = read_trl(write(tmp_path / "x.jsonl", trl_rows(3)), dataset="d")
    with Store(tmp_path, create=True) as store:

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("backstay.storage.Batch.append_judgments", fail)
        with pytest.raises(KeyboardInterrupt):
            import_into(store, parsed)
        assert store.repository.datasets() == []
        assert store.verify().entries == 0
