"""Imports of any size: rows are checked and set aside on the disk first, then stored in one transaction, or refused."""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from pydantic import Field
from sqlalchemy import Connection, Engine

from backstay.errors import ImportRefused, IntegrityError, UsageError
from backstay.feedback.importing.answered_fields import FieldSettings
from backstay.feedback.importing.argilla import argilla_reading
from backstay.feedback.importing.hh_rlhf import hh_rlhf_reading
from backstay.feedback.importing.intake import Intake, Reading
from backstay.feedback.importing.judged import HELDOUT_SHARE, Origin
from backstay.feedback.importing.label_studio import label_studio_reading
from backstay.feedback.importing.lines import ReadLimits, require_file
from backstay.feedback.importing.problems import Problem
from backstay.feedback.importing.production import production_reading
from backstay.feedback.importing.rejects import rejects_beside
from backstay.feedback.importing.rows import format_of
from backstay.feedback.importing.staging import CHUNK, KINDS, Stage
from backstay.feedback.importing.storing import TWO_WAYS, ImportReport, import_event, refuse_bad_rows
from backstay.feedback.importing.table import TableSettings, table_reading
from backstay.feedback.importing.trl import trl_reading
from backstay.feedback.importing.ultrafeedback import ultrafeedback_reading
from backstay.feedback.importing.unjudged import unjudged_reading
from backstay.records import Dimension, Settings, file_sha256
from backstay.storage import Batch, Repository
from backstay.storage.engine import reading
from backstay.storage.known import refuse_changed_texts

ImportFormat = Literal[
    "unjudged",
    "hh-rlhf",
    "trl",
    "ultrafeedback",
    "argilla",
    "label-studio",
    "production",
    "csv",
    "jsonl",
    "parquet",
]
SUFFIX_CURE = "name the file .csv, .jsonl or .parquet (.gz may follow), as its content is"
PIECE = 100
"""Records that are stored in one transaction where raters are not to wait."""

_BLOCK = 2**20


class ImportSettings(Settings):
    """How a file is to be read and stored."""

    dataset: str
    """The data set to add to."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Tables, argilla, label-studio: our name -> the file's column or field, where they differ."""
    values: dict[str, str] = Field(default_factory=dict)
    """Tables, argilla, label-studio: the file's choice -> a, b, tie or both_bad."""
    prompt_kind: Literal["text", "messages"] = "text"
    """Tables: whether text in the prompt column is one user's turn or JSON messages."""
    a_shown_first: bool = False
    """Tables: whether raters saw response_a first in every row; false = unknown unless a column tells."""
    dimension: Dimension = "overall"
    """What was judged, where the file does not say so."""
    heldout_share: float = HELDOUT_SHARE
    """Share of prompts kept out of training; 0 = none."""
    allow_partial: bool = False
    """Whether the good rows are stored when some are bad; false = nothing is."""
    limits: ReadLimits = ReadLimits()
    """How much is read."""


class StagedImport:
    """A file that was read and checked; its sound records wait on the disk. See `stage_import`."""

    def __init__(self, folder: Path, path: Path, name: str, settings: ImportSettings, reading: Reading) -> None:
        self.name, self.settings = name, settings
        self.format = reading.format
        self.file_sha256 = file_sha256(path)
        self.rejects = folder / "rejects.jsonl"
        self._stage = Stage(folder / "stage.db")
        self._read(reading)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The first 1000 refused rows."""
        return tuple(self._intake.problems)

    @property
    def refused(self) -> int:
        """How many rows were refused."""
        return self._intake.problem_count

    def check(self) -> None:
        """Raise ImportRefused where rows break the format, unless the settings allow a part."""
        intake = self._intake
        refuse_bad_rows(
            self.name, intake.rows, self.refused, intake.problems, allow_partial=self.settings.allow_partial
        )

    def check_against(self, connection: Connection) -> None:
        """Raise IntegrityError or ImportRefused where the data set holds a record of this file with other content.

        For whoever stores it piece by piece, and would otherwise find that out with a part of it stored.
        """
        for name, texts in self.pieces():
            with self._read_in_another_way(name):
                refuse_changed_texts(connection, name, self.settings.dataset, texts)

    def store(self, batch: Batch) -> ImportReport:
        """Store every sound record within the batch's transaction; storing the same again stores nothing."""
        self.check()
        new = dict.fromkeys(KINDS, 0)
        with batch.many_rows():
            for name, texts in self.pieces():
                new[name] += self.add(batch, name, texts)
        return self.finish(batch, new)

    def store_pieces(self, engine: Engine, write: Callable[[Callable[[Batch], int]], int]) -> dict[str, int]:
        """Store every sound record a few at a time, each time by `write`, so that others write in between.

        How many were new by kind, for `finish`. Raises before the first what `check` and `check_against` do. Ended in
        the middle it leaves a part; the same file goes on from there.
        """
        self.check()
        with reading(engine) as connection:
            self.check_against(connection)
        new = dict.fromkeys(KINDS, 0)
        for name, texts in self.pieces(PIECE):
            new[name] += write(partial(self.add, name=name, texts=texts))
        return new

    def pieces(self, most: int = CHUNK) -> Iterator[tuple[str, list[str]]]:
        """Records of one kind after another, in the order in which they must be stored, `most` at a time."""
        for name in KINDS:
            for chunk in self._stage.records(name):
                for start in range(0, len(chunk), most):
                    yield name, chunk[start : start + most]

    def add(self, batch: Batch, name: str, texts: list[str]) -> int:
        """Store one piece; how many of its records were new."""
        with self._read_in_another_way(name):
            if name == "judgments":
                return batch.append_canonical(self.settings.dataset, texts)
            return batch.add_canonical(name, self.settings.dataset, texts)

    def finish(self, batch: Batch, new: Mapping[str, int]) -> ImportReport:
        """Journal the import, of which `new` counts what was stored by kind."""
        report = ImportReport(
            dataset=self.settings.dataset,
            rows=self._intake.rows,
            prompts=new["prompts"],
            responses=new["responses"],
            tasks=new["tasks"],
            raters=new["raters"],
            demonstrations=0,
            judgments=new["judgments"],
            known=self._stage.count("judgments") - new["judgments"],
            duplicates=self._intake.duplicates,
            refused=self.refused,
            notes=self._notes,
            problems=self.problems,
        )
        if report.judgments or report.tasks:
            batch.add_event("import", import_event(report, self.format, self.name, self.file_sha256))
        return report

    def close(self) -> None:
        """Let go of the file on the disk."""
        self._stage.connection.close()

    @contextlib.contextmanager
    def _read_in_another_way(self, name: str) -> Iterator[None]:
        """Ids of judgments come of the file: only a file that was imported before has the same ones."""
        try:
            yield
        except IntegrityError as error:
            if name != "judgments":
                raise
            said = f"{self.name} was imported into {self.settings.dataset} before, but read in another way"
            raise ImportRefused(said, cure=TWO_WAYS) from error

    def _read(self, reading: Reading) -> None:
        origin = Origin(reading.format, self.file_sha256, reading.heldout_share)
        with self.rejects.open("w", encoding="utf-8", newline="\n") as rejects:

            def reject(problem: Problem) -> None:
                rejects.write(json.dumps(problem.payload(), ensure_ascii=False) + "\n")

            self._intake = Intake(origin, self._stage.shelves(), reject)
            self._intake.read(reading)
        self._stage.settle()
        self._notes = reading.notes()


@contextlib.contextmanager
def stage_import(
    source: Path | BinaryIO, form: ImportFormat, settings: ImportSettings, *, name: str = ""
) -> Iterator[StagedImport]:
    """Read and check a file, or an open one called `name`; nothing is stored, and no database is touched.

    Raises ImportRefused where the file as a whole cannot be read. Bad rows are in the result.
    """
    with tempfile.TemporaryDirectory(prefix="backstay-import-") as folder:
        path = source if isinstance(source, Path) else _spooled(source, Path(folder), form, name, settings.limits)
        said = path.name if isinstance(source, Path) else name or path.name
        try:
            staged = StagedImport(Path(folder), path, said, settings, _reading(path, form, settings))
        except ImportRefused as error:
            if isinstance(source, Path):
                raise
            raise ImportRefused(error.message.replace(str(path), said), cure=error.cure) from error
        try:
            yield staged
        finally:
            staged.close()


def import_stream(
    repository: Repository,
    source: Path | BinaryIO,
    form: ImportFormat,
    settings: ImportSettings,
    *,
    name: str = "",
    rejects: Path | None = None,
    in_pieces: bool = False,
) -> ImportReport:
    """Read a file, or an open one called `name`, and store it whole; storing it again stores nothing.

    Raises ImportRefused when rows break the format, unless the settings allow a part; its `rows` say where. With
    `rejects`, every refused row is written there once the others are stored. Memory does not grow with the file. The
    database is locked only while checked records are copied into it: in one transaction, or `in_pieces` a part of the
    time, so that raters go on; ended in the middle that leaves a part, and the same file goes on from there.
    """
    with stage_import(source, form, settings, name=name) as staged:
        staged.check()
        with rejects_beside(rejects if staged.refused else None, staged.rejects):
            if in_pieces:
                new = staged.store_pieces(repository.engine, partial(_write_and_wait, repository))
                with repository.batch() as batch:
                    report = staged.finish(batch, new)
            else:
                with repository.batch() as batch:
                    report = staged.store(batch)
        return replace(report, rejects=str(rejects) if rejects and staged.refused else "")


def _write_and_wait(repository: Repository, work: Callable[[Batch], int]) -> int:
    """A transaction, then as much time for others: SQLite gives its lock to whoever comes first, not to who waits."""
    began = time.perf_counter()
    with repository.batch() as batch:
        count = work(batch)
    time.sleep(time.perf_counter() - began)
    return count


def _reading(path: Path, form: ImportFormat, settings: ImportSettings) -> Reading:
    require_file(path)
    dataset, limits, share = settings.dataset, settings.limits, settings.heldout_share
    chosen = settings.model_dump(include={"columns", "values", "dimension", "heldout_share"})
    readings: dict[str, Callable[[], Reading]] = {
        "hh-rlhf": lambda: hh_rlhf_reading(path, dataset, settings.dimension, share, limits),
        "trl": lambda: trl_reading(path, dataset, settings.dimension, share, limits),
        "ultrafeedback": lambda: ultrafeedback_reading(path, dataset, share, limits),
        "argilla": lambda: argilla_reading(path, FieldSettings(**chosen), limits),
        "label-studio": lambda: label_studio_reading(path, FieldSettings(**chosen), limits),
        "production": lambda: production_reading(path, share, limits),
        "unjudged": lambda: unjudged_reading(
            path, settings.dimension, settings.columns, settings.prompt_kind, share, limits
        ),
    }
    if form in readings:
        return readings[form]()
    if form not in get_args(ImportFormat):
        raise UsageError(f"no format {form!r}", cure=f"use one of {', '.join(get_args(ImportFormat))}")
    if format_of(path) != form:
        raise UsageError(f"{path.name} is named as {format_of(path)}, not {form}", cure=SUFFIX_CURE)
    table = TableSettings(**chosen, prompt_kind=settings.prompt_kind, a_shown_first=settings.a_shown_first)
    return table_reading(path, table, limits)


def _spooled(source: BinaryIO, folder: Path, form: ImportFormat, name: str, limits: ReadLimits) -> Path:
    """A copy of an open file, under a name of ours with the suffixes of its own."""
    suffixes = "".join(Path(name).suffixes[-2:])
    safe = suffixes if len(suffixes) < 20 and suffixes.replace(".", "").isalnum() else ""
    path = folder / f"upload{safe or '.' + (form if form in ('csv', 'parquet') else 'jsonl')}"
    with path.open("xb") as file:
        while block := source.read(_BLOCK):
            if file.tell() + len(block) > limits.max_bytes:
                raise ImportRefused(f"{name or 'the file'} is larger than {limits.max_bytes} bytes", cure="split it")
            file.write(block)
    return path
