"""Time and memory of importing and exporting synthetic judgments; one JSON line.

usage: python benchmarks/feedback/import_export.py [--judgments 1000000] [--per-pair 1] [--formats csv trl ...]
       [--import-format jsonl] [--verify] [--keep DIR]

Synthetic: nobody judged anything. Every pair has its own prompt (about 100 characters) and two answers (about 150
each), judged by `per-pair` of 2000 raters, so that with 1 a pair every row brings four new records beside its judgment.
Import and each export run in a process of their own, so that peak memory is their own; exports go to a file. Import
has two parts: rows are read, checked and staged without the database, then stored under its lock. CPU seconds stand
beside wall seconds, for machines that do other things too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from backstay.feedback.exporting import ExportFormat, export_dataset
from backstay.feedback.importing import ImportSettings, stage_import
from backstay.storage import Store

RATERS = 2000
DATASET = "synthetic"
PROMPT = "Question {0}: what would change if the {0}th of many similar things were a little different from the rest?"
ANSWER = "Answer {1} to question {0}: it depends on which of the things is meant, and on how different it is. {1}"
FORMATS: tuple[ExportFormat, ...] = (
    "csv",
    "jsonl",
    "parquet",
    "trl",
    "hh-rlhf",
    "ultrafeedback",
    "argilla",
    "label-studio",
)


def table_rows(count: int, per_pair: int) -> Iterator[dict[str, Any]]:
    """Rows of a table with rater ids."""
    for number in range(count):
        pair = number // per_pair
        yield {
            "prompt": PROMPT.format(pair),
            "response_a": ANSWER.format(pair, "one"),
            "response_b": ANSWER.format(pair, "two"),
            "choice": "a" if (pair * 7 + number) % 3 else "b",
            "rater": f"rater-{number % RATERS}",
            "duration_ms": 1000 + number % 9000,
            "created_at": "2026-01-31T12:00:00.000Z",
        }


def write_rows(path: Path, count: int, per_pair: int) -> int:
    """The file to import; its bytes."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in table_rows(count, per_pair))
    return path.stat().st_size


def measured(started: tuple[float, float]) -> dict[str, float]:
    """Seconds since, and the peak of this process's memory so far."""
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "peak_mib": round(peak_mib, 1)}


def clocks() -> tuple[float, float]:
    """Now."""
    return time.perf_counter(), time.process_time()


def run_import(folder: Path) -> dict[str, Any]:
    """Stage, then store."""
    with Store(folder, create=True) as store:
        begun = started = clocks()
        with stage_import(folder / "rows.jsonl", "jsonl", ImportSettings(dataset=DATASET)) as staged:
            found: dict[str, Any] = {"stage": measured(started)}
            started = clocks()
            with store.repository.batch() as batch:
                report = staged.store(batch)
            found["store"] = measured(started)
        found["all"] = measured(begun)
    found["rows_per_s"] = round(report.rows / found["all"]["wall_s"])
    return found | {"judgments": report.judgments}


def run_export(folder: Path, form: ExportFormat) -> dict[str, Any]:
    """One export to a file."""
    with Store(folder) as store:
        started = clocks()
        path = folder / f"out.{form}"
        report = export_dataset(path, store.repository, DATASET, form)
        found = measured(started)
    found["rows_per_s"] = round(report.written / found["wall_s"])
    found["megabytes"] = round(path.stat().st_size / 1e6, 1)
    path.unlink()
    return found | {"written": report.written}


def run_verify(folder: Path) -> dict[str, Any]:
    """Walk the journal."""
    with Store(folder) as store:
        started = clocks()
        report = store.verify()
        return measured(started) | {"ok": report.ok, "entries": report.entries}


def part(name: str, folder: Path) -> dict[str, Any]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--keep", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=1_000_000)
    parser.add_argument("--per-pair", type=int, default=1)
    parser.add_argument("--formats", nargs="*", default=FORMATS, choices=FORMATS)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        parts = {"import": run_import, "verify": run_verify}
        run = parts.get(options.part) or (lambda folder: run_export(folder, cast("ExportFormat", options.part)))
        print(json.dumps(run(options.keep)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        size = write_rows(folder / "rows.jsonl", options.judgments, options.per_pair)
        found: dict[str, Any] = {
            "benchmark": "feedback-import-export",
            "data": "synthetic",
            "judgments": options.judgments,
            "per_pair": options.per_pair,
            "megabytes": round(size / 1e6, 1),
            "import": part("import", folder),
        }
        if options.verify:
            found["verify"] = part("verify", folder)
        found["export"] = {form: part(form, folder) for form in options.formats}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
