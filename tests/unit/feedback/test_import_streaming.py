import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing import (
    ImportSettings,
    ReadLimits,
    TableSettings,
    import_into,
    import_stream,
    read_table,
    read_trl,
    stage_import,
)
from backstay.feedback.importing.rejects import rejects_path
from backstay.storage import Store


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "prompt": f"q{number % 7}",
        "response_a": "x" if number % 3 else "z",
        "response_b": f"y{number % 5}",
        "choice": "ab"[number % 2],
        "rater": f"r{number % 4}",
    } | more


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(**more: Any) -> ImportSettings:
    return ImportSettings(dataset="d", **more)


def test_staged_and_in_memory_store_the_same(tmp_path: Path) -> None:
    rows = [row(n, gold="a") if n == 50 else row(n) for n in range(120)] + [row(3), row(4)]
    path = write(tmp_path / "x.jsonl", rows)
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        said = import_into(one, read_table(path, dataset="d"))
        report = import_stream(two.repository, path, "jsonl", settings())
        assert report == said
        assert one.repository.dataset_digest("d") == two.repository.dataset_digest("d")
        assert one.verify().ok
        assert two.verify().ok


def test_more_records_than_fit_into_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstay.feedback.importing.staging.CHUNK", 5)
    rows = [row(n, prompt=f"q{n // 2}", gold="a" if n % 9 == 8 else None) for n in range(60)]
    path = write(tmp_path / "x.jsonl", rows)
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        import_into(one, read_table(path, dataset="d"))
        import_stream(two.repository, path, "jsonl", settings())
        assert one.repository.dataset_digest("d") == two.repository.dataset_digest("d")


def test_again_stores_nothing_and_read_in_another_way_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [row(n) for n in range(20)])
    with Store(tmp_path, create=True) as store:
        first = import_stream(store.repository, path, "jsonl", settings())
        before = store.repository.dataset_digest("d"), store.verify().entries
        again = import_stream(store.repository, path, "jsonl", settings())
        assert (again.judgments, again.known) == (0, first.judgments)
        with pytest.raises(ImportRefused, match="x.jsonl was imported into d before, but read in another way"):
            import_stream(store.repository, path, "jsonl", settings(values={"a": "b", "b": "a"}))
        assert (store.repository.dataset_digest("d"), store.verify().entries) == before


def test_bad_rows_are_data_and_nothing_is_stored(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [row(0), row(1, choice="c"), row(2), row(3, duration_ms=-1)])
    with Store(tmp_path, create=True) as store:
        with pytest.raises(ImportRefused, match="2 of 4 rows break the format; nothing was stored") as refused:
            import_stream(store.repository, path, "jsonl", settings(), rejects=rejects_path(path))
        assert store.verify().entries == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [(one["line"], one["field"]) for one in refused.value.rows] == [(2, "choice"), (4, "duration_ms")]
    for one, value in zip(refused.value.rows, ('"c"', "-1"), strict=True):
        assert lines[one["line"] - 1][one["column"] - 1 :].startswith(value)
        assert one["text"] == lines[one["line"] - 1]
    assert not rejects_path(path).exists()


def test_a_part_leaves_the_rejects_beside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [row(0), row(1, choice="c"), row(2, response_a="w" * 9000, choice=4)])
    with Store(tmp_path, create=True) as store:
        report = import_stream(
            store.repository, path, "jsonl", settings(allow_partial=True), rejects=rejects_path(path)
        )
        assert (report.judgments, report.refused, report.rejects) == (1, 2, str(tmp_path / "x.jsonl.rejects.jsonl"))
        kept = [json.loads(line) for line in rejects_path(path).read_text(encoding="utf-8").splitlines()]
        assert kept == [problem.payload() for problem in report.problems]
        assert [len(one["text"]) for one in kept] == [len(json.dumps(row(1, choice="c"))), 2000]
        # The same again replaces nothing; other rejects are not overwritten, and nothing is stored.
        import_stream(store.repository, path, "jsonl", settings(allow_partial=True), rejects=rejects_path(path))
        rejects_path(path).write_text("mine", encoding="utf-8")
        other = settings(allow_partial=True).model_copy(update={"dataset": "other"})
        with pytest.raises(UsageError, match="stands already and holds other rejects"):
            import_stream(store.repository, path, "jsonl", other, rejects=rejects_path(path))
        assert [found.name for found in store.repository.datasets()] == ["d"]
    assert rejects_path(path).read_text(encoding="utf-8") == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == [".backstay", "x.jsonl", "x.jsonl.rejects.jsonl"]


def test_a_failure_while_storing_stores_nothing_and_leaves_no_rejects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.jsonl", [row(0), row(1, choice="c")])

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with Store(tmp_path, create=True) as store:
        monkeypatch.setattr("backstay.storage.Batch.append_canonical", fail)
        with pytest.raises(KeyboardInterrupt):
            import_stream(store.repository, path, "jsonl", settings(allow_partial=True), rejects=rejects_path(path))
        assert store.verify().entries == 0
        assert store.repository.datasets() == []
    assert sorted(one.name for one in tmp_path.iterdir()) == [".backstay", "x.jsonl"]


@pytest.mark.parametrize("zipped", [False, True])
def test_an_open_file_is_read_like_a_path(tmp_path: Path, zipped: bool) -> None:
    content = b"prompt,response_a,response_b,choice,rater\nq,x,y,a,ann\nq,x,y,c,bob\n"
    upload = io.BytesIO(gzip.compress(content) if zipped else content)
    name = "votes.csv.gz" if zipped else "votes.csv"
    with stage_import(upload, "csv", settings(allow_partial=True), name=name) as staged:
        [problem] = staged.problems
        assert (problem.line, problem.column, problem.field, problem.text) == (3, 4, "choice", "q,x,y,c,bob")
        with Store(tmp_path, create=True) as store:
            with store.repository.batch() as batch:
                report = staged.store(batch)
            assert (report.judgments, report.refused) == (1, 1)
            assert store.verify().ok


def test_an_open_file_that_cannot_be_read_is_named_as_it_was_sent() -> None:
    twice = pytest.raises(ImportRefused, match="^votes.csv: the column 'a' comes twice")
    with twice, stage_import(io.BytesIO(b"a,a\n"), "csv", settings(), name="votes.csv"):
        pass
    small = settings(limits=ReadLimits(max_bytes=10))
    large = pytest.raises(ImportRefused, match="votes.csv is larger than 10 bytes")
    with large, stage_import(io.BytesIO(b"a" * 11), "csv", small, name="votes.csv"):
        pass


def test_the_format_must_be_the_one_that_the_name_says(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [row(0)])
    with pytest.raises(UsageError, match="is named as jsonl, not csv"), stage_import(path, "csv", settings()):
        pass


def test_other_formats_reach_their_readers(tmp_path: Path) -> None:
    pair = {"prompt": "q", "chosen": "x", "rejected": "y"}
    path = write(tmp_path / "x.jsonl", [pair])
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        import_into(one, read_trl(path, dataset="d", dimension="helpful"))
        import_stream(two.repository, path, "trl", settings(dimension="helpful"))
        assert one.repository.dataset_digest("d") == two.repository.dataset_digest("d")


def test_strength_flags_spans_and_purpose_are_read(tmp_path: Path) -> None:
    span = {"response": 1, "start": 0, "end": 2, "label": "good"}
    rich = row(0, response_b="better", strength=2, flags=["unsafe"], spans=[span], purpose="consistency")
    [judgment] = read_table(write(tmp_path / "x.jsonl", [rich]), dataset="d", settings=TableSettings()).judgments
    assert (judgment.strength, judgment.flags, judgment.purpose) == (2.0, ("unsafe",), "consistency")
    [task] = read_table(tmp_path / "x.jsonl", dataset="d").tasks
    [response] = [one for one in read_table(tmp_path / "x.jsonl", dataset="d").responses if one.text == "better"]
    assert task.response_ids[judgment.spans[0].response] == response.id
    for wrong in ({"strength": -1}, {"flags": ["x" * 50]}, {"spans": [span | {"end": 7}]}, {"purpose": "fun"}):
        [problem] = read_table(write(tmp_path / "y.jsonl", [rich | wrong]), dataset="d").refused
        assert problem.field == next(iter(wrong))
