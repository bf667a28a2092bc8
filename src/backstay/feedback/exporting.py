"""Exports: aggregated pairs for TRL, and judgments as tables that the importer reads back."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from backstay.errors import UsageError
from backstay.feedback.importing.rows import format_of
from backstay.records import Judgment, Pair, Prompt, Rater, Response, Task, canonical_json
from backstay.storage import Repository, atomic_file

COLUMNS = (
    "prompt",
    "response_a",
    "response_b",
    "choice",
    "rater",
    "gold",
    "duration_ms",
    "created_at",
    "rationale",
    "cohort",
    "dimension",
    "first_shown",
    "simulated",
)
LETTERS = "ab"
Row = dict[str, Any]


@dataclass(frozen=True)
class ExportReport:
    """Rows written, and what was left out, by reason."""

    written: int
    left_out: dict[str, int]


def export_pairs(
    path: Path, pairs: Iterable[Pair], prompts: Iterable[Prompt], responses: Iterable[Response]
) -> ExportReport:
    """Write pairs as conversational TRL preference rows, with `p_chosen`, `weight` and the pair's id beside them.

    Left out: quarantined pairs, and pairs at p = 0.5 exactly, which prefer neither response.
    """
    prompt_by_id = {prompt.id: prompt for prompt in prompts}
    text_by_id = {response.id: response.text for response in responses}
    left_out = {"quarantined": 0, "undecided": 0}
    written = 0
    with atomic_file(path) as file:
        for pair in pairs:
            if not (pair.prompt_id in prompt_by_id and pair.a in text_by_id and pair.b in text_by_id):
                raise UsageError(f"pair {pair.id!r}: its prompt or a response is not among those given")
            reason = _why_not(pair)
            if reason:
                left_out[reason] += 1
                continue
            file.write(canonical_json(_trl_row(pair, prompt_by_id[pair.prompt_id], text_by_id)) + b"\n")
            written += 1
    return ExportReport(written, left_out)


def export_judgments(path: Path, repository: Repository, dataset: str) -> ExportReport:
    """Write a data set's judgments as csv, jsonl or Parquet, by the name of the file.

    Read it back with `prompt_kind="messages"`. Left out: judgments that rank more than two responses. Not written:
    ids, strength, flags and client of a judgment, the split of a prompt, the name and role of a rater.
    """
    writers = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
    write = writers[format_of(path)]
    rows, left_out = _judgment_rows(repository, dataset)
    with atomic_file(path) as file:
        write(file, rows)
    return ExportReport(len(rows), {"more than two responses": left_out})


def _why_not(pair: Pair) -> str:
    if pair.status == "quarantined":
        return "quarantined"
    return "undecided" if pair.p_a == 0.5 else ""


def _trl_row(pair: Pair, prompt: Prompt, text_by_id: Mapping[str, str]) -> Row:
    chosen, rejected = (pair.a, pair.b) if pair.p_a > 0.5 else (pair.b, pair.a)
    return {
        "prompt": [message.payload() for message in prompt.messages],
        "chosen": [{"role": "assistant", "content": text_by_id[chosen]}],
        "rejected": [{"role": "assistant", "content": text_by_id[rejected]}],
        "p_chosen": max(pair.p_a, 1.0 - pair.p_a),
        "weight": pair.weight,
        "pair_id": pair.id,
    }


def _judgment_rows(repository: Repository, dataset: str) -> tuple[list[Row], int]:
    tasks = {task.id: task for task in repository.tasks(dataset)}
    judgments = repository.judgments(dataset)
    binary = [judgment for judgment in judgments if len(tasks[judgment.task_id].response_ids) == 2]
    describe = _describer(repository, dataset)
    return [describe(tasks[judgment.task_id], judgment) for judgment in binary], len(judgments) - len(binary)


def _describer(repository: Repository, dataset: str) -> Callable[[Task, Judgment], Row]:
    prompts = {prompt.id: prompt for prompt in repository.prompts(dataset)}
    texts = {response.id: response.text for response in repository.responses(dataset)}
    raters = {rater.id: rater for rater in repository.raters(dataset)}

    def describe(task: Task, judgment: Judgment) -> Row:
        messages = [message.payload() for message in prompts[task.prompt_id].messages]
        return {
            "prompt": canonical_json(messages).decode(),
            "response_a": texts[task.response_ids[0]],
            "response_b": texts[task.response_ids[1]],
            "choice": _choice(judgment),
            "gold": "" if task.gold is None else LETTERS[task.gold],
            "duration_ms": judgment.duration_ms,
            "created_at": judgment.created_at,
            "rationale": judgment.rationale,
            "dimension": task.dimension,
            "first_shown": LETTERS[judgment.order_shown[0]] if judgment.order_shown else "",
            **_rater_columns(raters[judgment.rater_id]),
        }

    return describe


def _rater_columns(rater: Rater) -> Row:
    cohort = ", ".join(f"{value}" for _, value in sorted(rater.cohort.items()))
    return {"rater": rater.id, "cohort": cohort, "simulated": "true" if rater.simulated else "false"}


def _choice(judgment: Judgment) -> str:
    if judgment.choice.both_bad:
        return "both_bad"
    best = judgment.choice.ranking[0]
    return LETTERS[best[0]] if len(best) == 1 else "tie"


def _write_jsonl(file: BinaryIO, rows: list[Row]) -> None:
    file.writelines(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n" for row in rows)


def _write_csv(file: BinaryIO, rows: list[Row]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    text.flush()
    text.detach()


def _write_parquet(file: BinaryIO, rows: list[Row]) -> None:
    import pyarrow as pa  # noqa: PLC0415  slow to import, and needed for this format only
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    types = {name: pa.int64() if name == "duration_ms" else pa.string() for name in COLUMNS}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(types)), file)
