"""Judgments as a table that the importer reads back: csv, jsonl, Parquet."""

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from backstay.feedback.exporting.judged import Data, Judged, Source
from backstay.feedback.importing.cells import guarded
from backstay.feedback.importing.table import GUARD, OPTIONAL, REQUIRED

COLUMNS = (*REQUIRED, *OPTIONAL)
LETTERS = "ab"
_ROWS_A_BLOCK = 1000
_ROWS_A_GROUP = 20_000


def jsonl_table(source: Source) -> Iterator[bytes]:
    """One JSON object a line."""
    encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
    for rows in _blocks(source, _ROWS_A_BLOCK):
        yield ("\n".join(map(encode, rows)) + "\n").encode()


def csv_table(source: Source) -> Iterator[bytes]:
    """A csv file. A cell that a spreadsheet would run as a formula gets an apostrophe in front."""
    header = io.StringIO(newline="")
    csv.writer(header).writerow((*COLUMNS, GUARD))
    yield header.getvalue().encode()
    for rows in _blocks(source, _ROWS_A_BLOCK):
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerows((*map(_cell, (row[name] for name in COLUMNS)), "") for row in rows)
        yield text.getvalue().encode()


def parquet_table(source: Source) -> Iterator[bytes]:
    """A Parquet file, a group of rows at a time."""
    import pyarrow as pa  # noqa: PLC0415  slow to import, and needed for this format only
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    kinds = {"duration_ms": pa.int64(), "strength": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    pipe = _Pipe()
    with pq.ParquetWriter(pa.PythonFile(pipe, mode="w"), schema) as writer:
        for rows in _blocks(source, _ROWS_A_GROUP):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            yield pipe.take()
    yield pipe.take()


class _Pipe(io.RawIOBase):
    """A file that only remembers what was written since it was last asked."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Take in bytes."""
        self._parts.append(bytes(data))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        """How much was written."""
        return self._size

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def _blocks(source: Source, size: int) -> Iterator[list[Data]]:
    rows = _rows(source)
    while block := list(islice(rows, size)):
        source.tally.written += len(block)
        yield block


def _rows(source: Source) -> Iterator[Data]:
    source.tally.left_out["more than two responses"] += 0
    for judged in source.judged():
        if len(judged.responses) == 2:
            yield _row(judged)
        else:
            source.tally.left_out["more than two responses"] += 1


def _row(judged: Judged) -> Data:
    judgment, task, rater = judged.judgment, judged.task, judged.rater
    shown = judgment["order_shown"]
    return {
        "prompt": json.dumps(judged.prompt["messages"], ensure_ascii=False),
        "response_a": judged.responses[0]["text"],
        "response_b": judged.responses[1]["text"],
        "choice": _choice(judged),
        "rater": rater["id"],
        "gold": "" if task["gold"] is None else LETTERS[task["gold"]],
        "duration_ms": judgment["duration_ms"],
        "created_at": judgment["created_at"],
        "rationale": judgment["rationale"],
        "cohort": ", ".join(value for _, value in sorted(rater["cohort"].items())),
        "dimension": task["dimension"],
        "first_shown": LETTERS[shown[0]] if shown else "",
        "simulated": "true" if rater["simulated"] else "false",
        "strength": judgment["strength"],
        "flags": " ".join(judgment["flags"]),
        "spans": json.dumps(judgment["spans"]) if judgment.get("spans") else "",
        "purpose": judgment.get("purpose", "vote"),
    }


def _choice(judged: Judged) -> str:
    if not judged.ranking:
        return "both_bad"
    best = judged.ranking[0]
    return LETTERS[best[0]] if len(best) == 1 else "tie"


def _cell(value: Any) -> str:
    return "" if value is None else guarded(value) if isinstance(value, str) else str(value)
