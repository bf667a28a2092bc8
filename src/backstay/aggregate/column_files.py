"""Votes in Parquet files: read a batch at a time into columns, without an object a vote; and written.

One row is one vote. `item`, `rater` and `side` are needed; `shown`, `share`, `a`, `b` and `gold` may be left out.
Numbers count from 0; texts are numbered in the order in which they occur. docs/aggregate/scale.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backstay.aggregate.column_order import S, item_places, item_values, moved, voted_twice
from backstay.aggregate.columns import Index, Small, VoteColumns
from backstay.errors import ImportRefused

BATCH = 1_000_000
"""Rows read or written at a time."""

ID_COLUMNS = ("item", "rater", "a", "b")
NEEDED = ("item", "rater", "side")
WORDS = {"side": ("b", "tie", "a"), "shown": ("b", "", "a"), "gold": ("b", "", "a")}
"""Texts that stand for -1, 0 and 1."""

NO_VOTE = -128
"""Stands for a null side while a file is read."""

SPARSE = 16
SPARE = 1_000_000
"""Ids may run to SPARSE times the rows plus SPARE: beyond it they would take more memory than the votes."""


@dataclass(frozen=True)
class VoteFile:
    """Columns, and the texts that their numbers stand for (Arrow arrays; None where the file holds numbers)."""

    columns: VoteColumns
    items: Any
    raters: Any
    responses: Any


def read_columns(path: Path) -> VoteFile:
    """Read one Parquet file of votes, its rows in any order.

    Takes the memory of the columns, 8 bytes a row for the order by item, and that of one more column. A null `rater`
    declares an item without a vote; a null `shown` or `gold` is unknown; without `a` and `b` every item compares two
    responses of its own. Raises `ImportRefused` that names the row (from 0) and the value.
    """
    names = set(pq.read_schema(path).names)
    for needed in NEEDED:
        if needed not in names:
            raise ImportRefused(f"{path.name} has no column {needed!r}", cure=f"it has {', '.join(sorted(names))}")
    with pq.ParquetFile(path, read_dictionary=sorted(names & set(ID_COLUMNS)), memory_map=True) as file:
        return _read(_Rows(file, path.name))


def columns_in(path: Path) -> VoteColumns:
    """The columns of a file alone: what a worker of `map_reduce` reads."""
    return read_columns(path).columns


def _read(rows: "_Rows") -> VoteFile:
    (item,), items, n_items = rows.ids("item")
    (rater,), raters, n_raters = rows.ids("rater", null_is=-1)
    first, second, n_responses, responses = _responses(rows, item, n_items)
    gold = _of_items(rows, "gold", rows.small("gold"), item, n_items) if "gold" in rows.names else None
    side = rows.small("side", null_is=NO_VOTE)
    unsaid = (side == NO_VOTE) & (rater >= 0)
    if unsaid.any():
        rows.refuse("side", int(unsaid.argmax()), None, "a side wherever there is a rater")
    shown = rows.small("shown") if "shown" in rows.names else np.zeros(rows.count, dtype=np.int8)
    share = rows.shares() if "share" in rows.names else np.ones(rows.count, dtype=np.float32)
    start, place = item_places(item, rater, n_items)
    del item
    count = int(start[-1])
    columns = VoteColumns(
        start,
        moved(rater, place, count),
        moved(side, place, count),
        moved(shown, place, count),
        moved(share, place, count),
        first,
        second,
        np.zeros(n_items, dtype=np.int8) if gold is None else gold,
        n_raters,
        n_responses,
    )
    i, r = voted_twice(columns.start, columns.rater, n_raters)
    if i >= 0:
        raise ImportRefused(
            f"{rows.name}: rater {_label(raters, r)!r} voted twice on item {_label(items, i)!r}",
            cure="keep the vote that counts",
        )
    return VoteFile(columns, items, raters, responses)


def _responses(rows: "_Rows", item: Index, n_items: int) -> tuple[Index, Index, int, Any]:
    """The two responses (I) of each item, how many there are, and their texts."""
    if not {"a", "b"} <= rows.names:
        own = np.arange(n_items, dtype=np.int32)
        return 2 * own, 2 * own + 1, 2 * n_items, None
    (a, b), labels, count = rows.ids("a", "b")
    same = np.flatnonzero(a == b)
    if same.size:
        rows.refuse("b", int(same[0]), _label(labels, int(b[same[0]])), "another response than that of `a`")
    first = _of_items(rows, "a", a, item, n_items, -1, labels)
    del a
    return first, _of_items(rows, "b", b, item, n_items, -1, labels), count, labels


def _of_items(
    rows: "_Rows", name: str, values: NDArray[S], item: Index, n_items: int, unknown: int = 0, labels: Any = None
) -> NDArray[S]:
    """Value (I) that all rows of an item share; rows with `unknown` say nothing."""
    found = np.full(n_items, unknown, dtype=values.dtype)
    row = int(item_values(item, values, unknown, found))
    if row >= 0:
        mine, earlier = (_label(labels, int(value)) for value in (values[row], found[item[row]]))
        rows.refuse(name, row, mine, f"{earlier!r}, which an earlier row of the same item has")
    return found


def _label(labels: Any, number: int) -> object:
    return number if labels is None else labels[number].as_py()


class _Rows:
    """The rows of a file, a column at a time."""

    def __init__(self, file: Any, name: str) -> None:
        self.file, self.name = file, name
        self.names, self.count = set(file.schema_arrow.names), int(file.metadata.num_rows)
        self.sizes = file.schema_arrow.metadata or {}

    def refuse(self, column: str, row: int, value: object, accepted: str) -> None:
        """Raise: this value in this row is not accepted."""
        raise ImportRefused(f"{self.name}, row {row}: {column} is {value!r}", cure=f"accepted: {accepted}")

    def batches(self, column: str) -> Iterator[tuple[int, Any]]:
        """Parts of a column with the row that each begins at."""
        row = 0
        for batch in self.file.iter_batches(batch_size=BATCH, columns=[column]):
            yield row, batch.column(0)
            row += len(batch)

    def ids(self, *columns: str, null_is: int | None = None) -> tuple[list[Index], Any, int]:
        """Numbers of one or more columns that share a numbering, their texts (None for numbers), and how many."""
        if any(pa.types.is_integer(self.file.schema_arrow.field(column).type) for column in columns):
            return self._integers(columns, null_is)
        chunks = {column: [self._dictionary(column, row, part, null_is) for row, part in self.batches(column)]
                  for column in columns}  # fmt: skip
        unified = pa.chunked_array([c for part in chunks.values() for c in part], _TEXTS).unify_dictionaries().chunks
        numbers = []
        for column in columns:
            mine, unified = unified[: len(chunks[column])], unified[len(chunks[column]) :]
            parts = [pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False) for chunk in mine]
            numbers.append(np.concatenate(parts) if parts else np.empty(0, dtype=np.int32))
            last = mine[-1].dictionary if mine else pa.array([], pa.string())
        return numbers, last, len(last)

    def _dictionary(self, column: str, row: int, part: Any, null_is: int | None) -> Any:
        if null_is is None and part.null_count:
            self.refuse(column, row + _first(part.is_null()), None, "a text or a number")
        if not pa.types.is_dictionary(part.type) and not _is_text(part.type):
            self.refuse(column, row, part[0].as_py(), "a text or a whole number")
        return part.cast(_TEXTS) if pa.types.is_dictionary(part.type) else part.dictionary_encode().cast(_TEXTS)

    def _integers(self, columns: tuple[str, ...], null_is: int | None) -> tuple[list[Index], None, int]:
        most = SPARSE * self.count + SPARE
        accepted = f"whole numbers from 0 to {most - 1} (for sparse numbers write them as texts)"
        highest, numbers = -1, []
        for column in columns:
            found: Index = np.empty(self.count, dtype=np.int32)
            for row, part in self.batches(column):
                values = self._whole(column, row, part, null_is, accepted)
                wrong = ((values < 0) | (values >= min(most, 2**31 - 1))) & (values != null_is)
                if wrong.any():
                    self.refuse(column, row + int(wrong.argmax()), int(values[wrong.argmax()]), accepted)
                found[row : row + values.size] = values
                highest = max(highest, int(values.max(initial=-1)))
            numbers.append(found)
        stored = int(self.sizes.get(f"n_{_COUNTED[columns[0]]}".encode(), b"0"))
        return numbers, None, max(min(stored, most), highest + 1)

    def _whole(self, column: str, row: int, part: Any, null_is: int | None, accepted: str) -> NDArray[np.int64]:
        if not pa.types.is_integer(part.type):
            self.refuse(column, row, part[0].as_py(), accepted)
        if part.null_count:
            if null_is is None:
                self.refuse(column, row + _first(part.is_null()), None, accepted)
            part = pc.fill_null(part.cast(pa.int64()), null_is)
        whole: NDArray[np.int64] = part.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
        return whole

    def small(self, column: str, null_is: int = 0) -> Small:
        """A column of -1, 0 and 1, or of the texts that stand for them."""
        accepted = f"1, 0, -1 or {', '.join(repr(word) for word in WORDS[column][::-1])}"
        found: Small = np.empty(self.count, dtype=np.int8)
        for row, part in self.batches(column):
            plain = part.dictionary_decode() if pa.types.is_dictionary(part.type) else part
            if _is_text(plain.type):
                known = pc.subtract(pc.index_in(plain, pa.array(WORDS[column], plain.type)), 1)
                plain = pc.if_else(plain.is_null(), None, pc.fill_null(known, 2))
            values = self._whole(column, row, plain, null_is, accepted)
            wrong = (np.abs(values) > 1) & (values != null_is)
            if wrong.any():
                self.refuse(column, row + int(wrong.argmax()), part[int(wrong.argmax())].as_py(), accepted)
            found[row : row + values.size] = values
        return found

    def shares(self) -> NDArray[np.float32]:
        """The column `share`."""
        found: NDArray[np.float32] = np.empty(self.count, dtype=np.float32)
        for row, part in self.batches("share"):
            values = part.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
            right = (values > 0.0) & (values <= 1.0)
            if not right.all():
                self.refuse("share", row + int(right.argmin()), part[int(right.argmin())].as_py(), "above 0, at most 1")
            found[row : row + values.size] = values
        return found


_TEXTS = pa.dictionary(pa.int32(), pa.string())
_COUNTED = {"item": "items", "rater": "raters", "a": "responses"}


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first(flags: Any) -> int:
    return int(pc.index(flags, True).as_py())


def write_columns(path: Path, columns: VoteColumns) -> None:
    """Write columns as numbers, sorted by item; an item without a vote becomes a row with a null rater and side."""
    sizes = {"n_items": columns.n_items, "n_raters": columns.n_raters, "n_responses": columns.n_responses}
    schema = _SCHEMA.with_metadata({name: str(size) for name, size in sizes.items()})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        low = 0
        while low < columns.n_items:
            high = max(int(np.searchsorted(columns.start, columns.start[low] + BATCH, side="right")) - 1, low + 1)
            writer.write_table(_table(columns, low, min(high, low + BATCH), schema))
            low = min(high, low + BATCH)


_SCHEMA = pa.schema(
    [("item", pa.int32()), ("rater", pa.int32()), ("side", pa.int8()), ("shown", pa.int8()), ("share", pa.float32()),
     ("a", pa.int32()), ("b", pa.int32()), ("gold", pa.int8())]
)  # fmt: skip


def _table(columns: VoteColumns, low: int, high: int, schema: Any) -> Any:
    votes = np.diff(columns.start[low : high + 1])
    item = np.repeat(np.arange(low, high, dtype=np.int32), np.maximum(votes, 1))
    silent = np.repeat(votes == 0, np.maximum(votes, 1))
    part = slice(int(columns.start[low]), int(columns.start[high]))

    def with_silent(column: NDArray[Any], fill: int) -> NDArray[Any]:
        rows = np.full(item.size, fill, dtype=column.dtype)
        rows[~silent] = column[part]
        return rows

    return pa.table(
        [
            item,
            pa.array(with_silent(columns.rater, 0), mask=silent),
            pa.array(with_silent(columns.side, 0), mask=silent),
            with_silent(columns.shown, 0),
            with_silent(columns.share, 1),
            columns.a[item],
            columns.b[item],
            columns.gold[item],
        ],
        schema=schema,
    )
