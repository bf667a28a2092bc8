"""Exports of any size: bytes in blocks, or a file, out of one snapshot of the database."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from backstay.errors import UsageError
from backstay.feedback.exporting.argilla import argilla_records
from backstay.feedback.exporting.judged import Source, Tally
from backstay.feedback.exporting.label_studio import label_studio_tasks
from backstay.feedback.exporting.preferences import hh_rlhf_preferences, trl_preferences
from backstay.feedback.exporting.tables import csv_table, jsonl_table, parquet_table
from backstay.feedback.exporting.ultrafeedback import ultrafeedback_rows
from backstay.feedback.importing.rows import format_of
from backstay.storage import Repository, atomic_file

ExportFormat = Literal["csv", "jsonl", "parquet", "trl", "hh-rlhf", "ultrafeedback", "argilla", "label-studio"]
WRITERS: dict[ExportFormat, Callable[[Source], Iterator[bytes]]] = {
    "csv": csv_table,
    "jsonl": jsonl_table,
    "parquet": parquet_table,
    "trl": trl_preferences,
    "hh-rlhf": hh_rlhf_preferences,
    "ultrafeedback": ultrafeedback_rows,
    "argilla": argilla_records,
    "label-studio": label_studio_tasks,
}


@dataclass(frozen=True)
class ExportReport:
    """Rows written, and what was left out, by reason."""

    written: int
    left_out: dict[str, int]


def export_stream(
    repository: Repository,
    dataset: str,
    form: ExportFormat,
    *,
    tally: Tally | None = None,
    retracted: Container[str] = (),
) -> Iterator[bytes]:
    """A data set's judgments in blocks of bytes; memory does not grow with the data set.

    `tally` counts what is written and left out. `retracted` are ids of judgments that their raters took back. The
    database is read until the last block, or until the iterator is closed. Raises UsageError for an unknown format.
    """
    if form not in WRITERS:
        raise UsageError(f"no format {form!r}", cure=f"use one of {', '.join(get_args(ExportFormat))}")
    return _stream(repository, dataset, form, tally or Tally(), retracted)


def export_dataset(
    path: Path, repository: Repository, dataset: str, form: ExportFormat, *, retracted: Container[str] = ()
) -> ExportReport:
    """Write a data set's judgments to a file, which appears whole or not at all."""
    tally = Tally()
    with atomic_file(path) as file:
        file.writelines(export_stream(repository, dataset, form, tally=tally, retracted=retracted))
    return ExportReport(tally.written, dict(tally.left_out))


def export_judgments(path: Path, repository: Repository, dataset: str) -> ExportReport:
    """Write a data set's judgments as csv, jsonl or Parquet, by the name of the file.

    Read it back with `prompt_kind="messages"`. Left out: judgments that rank more than two responses. Not written:
    ids and client of a judgment, the split of a prompt, the name and role of a rater.
    """
    return export_dataset(path, repository, dataset, format_of(path))


def _stream(
    repository: Repository, dataset: str, form: ExportFormat, tally: Tally, retracted: Container[str]
) -> Iterator[bytes]:
    with repository.engine.connect() as connection:
        yield from WRITERS[form](Source(connection, dataset, tally, retracted))
