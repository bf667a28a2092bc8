from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated_columns import chosen_votes, simulate_columns

from backstay.aggregate import column_files
from backstay.aggregate.column_files import read_columns, write_columns
from backstay.errors import ImportRefused

ROWS: dict[str, list[Any]] = {
    "item": ["y", "x", "x", "z"],
    "rater": ["bo", "al", "bo", "al"],
    "side": ["b", "a", "tie", "a"],
    "shown": [None, "a", "b", "a"],
    "share": [1.0, 0.5, 1.0, 1.0],
    "a": ["r1", "r1", "r1", "r3"],
    "b": ["r3", "r2", "r2", "r2"],
    "gold": ["", None, "b", "a"],
}


def write(path: Path, rows: dict[str, Any]) -> Path:
    pq.write_table(pa.table(rows), path, row_group_size=3)
    return path


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_files, "BATCH", 7)


@pytest.mark.usefixtures("small_batches")
def test_what_is_written_is_read(tmp_path: Path) -> None:
    columns, _ = simulate_columns(0, items=60)
    columns = chosen_votes(columns, columns.item % 7 != 6)._replace(n_raters=23)
    assert np.any(np.diff(columns.start) == 0)
    write_columns(tmp_path / "votes.parquet", columns)
    found = read_columns(tmp_path / "votes.parquet")
    assert found.items is None and found.raters is None and found.responses is None
    for name, mine, theirs in zip(columns._fields, columns, found.columns, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype, name


def test_no_items_at_all(tmp_path: Path) -> None:
    columns, _ = simulate_columns(0, items=6)
    none = np.empty(0, dtype=np.int32)
    empty = chosen_votes(columns, np.zeros(columns.n_votes, dtype=np.bool_))._replace(
        start=np.zeros(1, dtype=np.int64), a=none, b=none, gold=none.astype(np.int8), n_raters=0, n_responses=0
    )
    write_columns(tmp_path / "votes.parquet", empty)
    assert read_columns(tmp_path / "votes.parquet").columns.n_items == 0


def test_texts_are_numbered_in_the_order_in_which_they_occur(tmp_path: Path) -> None:
    found = read_columns(write(tmp_path / "votes.parquet", ROWS))
    columns = found.columns
    assert found.items.to_pylist() == ["y", "x", "z"]
    assert found.raters.to_pylist() == ["bo", "al"]
    assert found.responses.to_pylist() == ["r1", "r3", "r2"]
    assert columns.start.tolist() == [0, 1, 3, 4]
    assert columns.rater.tolist() == [0, 1, 0, 1]
    assert columns.side.tolist() == [-1, 1, 0, 1]
    assert columns.shown.tolist() == [0, 1, -1, 1]
    assert columns.share.tolist() == [1.0, 0.5, 1.0, 1.0]
    assert columns.a.tolist() == [0, 0, 1] and columns.b.tolist() == [1, 2, 2]
    assert columns.gold.tolist() == [0, -1, 1]
    assert (columns.n_raters, columns.n_responses) == (2, 3)


def test_rows_out_of_order_are_sorted_by_item_and_keep_their_order(tmp_path: Path) -> None:
    columns, _ = simulate_columns(1, items=50)
    item = columns.item
    rng = np.random.default_rng(0)
    order = rng.permutation(columns.n_votes)
    write(tmp_path / "votes.parquet", {"item": item[order], "rater": columns.rater[order], "side": columns.side[order]})
    found = read_columns(tmp_path / "votes.parquet").columns
    stable = order[np.argsort(item[order], kind="stable")]
    np.testing.assert_array_equal(found.start, columns.start)
    np.testing.assert_array_equal(found.rater, columns.rater[stable])
    np.testing.assert_array_equal(found.side, columns.side[stable])
    assert set(found.shown) == {0} and set(found.share) == {1.0} and set(found.gold) == {0}
    assert np.array_equal(found.a, 2 * np.arange(50)) and np.array_equal(found.b, 2 * np.arange(50) + 1)


@pytest.mark.usefixtures("small_batches")
def test_the_same_votes_as_texts_and_as_numbers(tmp_path: Path) -> None:
    columns, _ = simulate_columns(2, items=40)
    item = columns.item
    numbers: dict[str, Any] = {"item": item, "rater": columns.rater, "side": columns.side}
    numbers |= {"a": columns.a[item], "b": columns.b[item]}
    texts = numbers | {name: [f"{name}-{v}" for v in numbers[name]] for name in ("item", "rater")}
    texts |= {name: [f"response-{v}" for v in numbers[name]] for name in ("a", "b")}
    one = read_columns(write(tmp_path / "numbers.parquet", numbers)).columns
    other = read_columns(write(tmp_path / "texts.parquet", texts))
    assert [f"rater-{r}" for r in one.rater] == other.raters.take(pa.array(other.columns.rater)).to_pylist()
    assert [f"response-{r}" for r in one.b] == other.responses.take(pa.array(other.columns.b)).to_pylist()
    np.testing.assert_array_equal(one.side, other.columns.side)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("side", ["b", "a", "left", "a"], "row 2: side is 'left'"),
        ("side", ["b", "a", None, "a"], "row 2: side is None"),
        ("side", [1, 0, 0, -3], "row 3: side is -3"),
        ("side", [1.0, 0.0, 0.5, 1.0], "row 0: side is 1.0"),
        ("shown", [0, 0, 2, 0], "row 2: shown is 2"),
        ("share", [1.0, 0.0, 1.0, 1.0], "row 1: share is 0.0"),
        ("share", [1.0, 1.0, 1.0, float("nan")], "row 3: share is nan"),
        ("share", [1.0, None, 1.0, 1.0], "row 1: share is None"),
        ("item", ["y", None, "x", "z"], "row 1: item is None"),
        ("item", [0, -4, 1, 2], "row 1: item is -4"),
        ("item", [0, 1, 2, 2**40], "row 3: item is 1099511627776"),
        ("rater", [0, 1, 3, 1_500_000], "row 3: rater is 1500000"),
        ("rater", ["bo", "bo", "bo", "al"], "rater 'bo' voted twice on item 'x'"),
        ("gold", ["", "a", "b", "a"], "row 2: gold is -1"),
        ("a", ["r1", "r1", "r4", "r3"], "row 2: a is"),
        ("b", ["r3", "r1", "r1", "r2"], "row 1: b is 'r1'"),
    ],
)
def test_a_bad_value_is_named_with_its_row(tmp_path: Path, column: str, values: list[Any], message: str) -> None:
    path = write(tmp_path / "votes.parquet", ROWS | {column: values})
    with pytest.raises(ImportRefused, match=message):
        read_columns(path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "votes.parquet", {"item": [0], "side": [1]})
    with pytest.raises(ImportRefused, match="no column 'rater'"):
        read_columns(path)


def test_a_null_rater_declares_an_item(tmp_path: Path) -> None:
    rows = {"item": [1, 0], "rater": [None, 0], "side": [None, 1], "a": [4, 2], "b": [5, 3], "gold": [-1, None]}
    found = read_columns(write(tmp_path / "votes.parquet", rows)).columns
    assert found.start.tolist() == [0, 1, 1]
    assert found.a.tolist() == [2, 4] and found.gold.tolist() == [0, -1]
