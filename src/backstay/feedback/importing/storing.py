"""Storing what an importer read: all of it in one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from backstay.errors import ImportRefused
from backstay.feedback.importing.parsed import ParsedImport
from backstay.feedback.importing.problems import Problem
from backstay.records import Judgment, canonical_json
from backstay.storage import Batch, Store

SHOWN_PROBLEMS = 20
TWO_WAYS = "use the same column and value map, or another data set"


@dataclass(frozen=True)
class ImportReport:
    """What an import stored. `known` counts judgments that the data set held already.

    `problems` are the first 1000 of the refused rows, `rejects` is the file that holds all of them, "" for none.
    """

    dataset: str
    rows: int
    prompts: int
    responses: int
    tasks: int
    raters: int
    demonstrations: int
    judgments: int
    known: int
    duplicates: int
    refused: int
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    rejects: str = ""

    def summary(self) -> str:
        """One line for people."""
        if self.tasks and not self.judgments:
            said = f"{self.tasks} tasks to be judged on {self.prompts} new prompts into {self.dataset}"
        elif not self.judgments and not self.demonstrations:
            what = f"all {self.known} judgments were" if self.known else "all of it was"
            said = f"nothing new for {self.dataset}: {what} imported before"
        else:
            said = f"{self.judgments} judgments on {self.prompts} new prompts into {self.dataset}"
            said += f"; {self.known} were imported before" if self.known else ""
        said += f"; {self.duplicates} duplicate rows counted once" if self.duplicates else ""
        said += f"; {self.refused} of {self.rows} rows refused" if self.refused else ""
        said += f" and written to {self.rejects}" if self.rejects else ""
        return "; ".join((said, *self.notes))


def import_into(store: Store, parsed: ParsedImport, *, allow_partial: bool = False) -> ImportReport:
    """Store a parsed file in its data set; storing it again stores nothing.

    Raises ImportRefused when rows break the format, unless `allow_partial`; then nothing is stored.
    """
    refuse_bad_rows(parsed.path, parsed.rows, parsed.problem_count, parsed.refused, allow_partial=allow_partial)
    with store.repository.batch() as batch:
        return _store(batch, parsed)


def refuse_bad_rows(name: str, rows: int, count: int, problems: Sequence[Problem], *, allow_partial: bool) -> None:
    """Raise ImportRefused where rows break the format, unless the good ones are wanted and there are some."""
    good = rows - count
    if not count or (allow_partial and good):
        return
    shown = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
    more = count - min(SHOWN_PROBLEMS, len(problems))
    raise ImportRefused(
        f"{name}: {count} of {rows} rows break the format; nothing was stored\n{shown}"
        + (f"\n  and {more} more" if more else ""),
        problems=tuple(map(str, problems)),
        rows=tuple(problem.payload() for problem in problems),
        cure=f"mend the file, or import the other {good} rows with --allow-partial" if good else "mend the file",
    )


def import_event(report: ImportReport, form: str, name: str, file_sha256: str) -> dict[str, str | int]:
    """What the journal says of an import."""
    return {
        "dataset": report.dataset,
        "format": form,
        "file": name,
        "file_sha256": file_sha256,
        "judgments": report.judgments,
        "refused": report.refused,
    }


def _store(batch: Batch, parsed: ParsedImport) -> ImportReport:
    name = parsed.dataset
    # A prompt's id is the hash of its messages: one that is known, from whatever source, is the same prompt.
    known = batch.stored("prompts", name, (prompt.id for prompt in parsed.prompts))
    # So is an answer: the text of one policy to one prompt, whichever exchange it was first seen in.
    old = batch.stored("responses", name, (response.id for response in parsed.responses))
    new = _new_judgments(batch, parsed)
    report = ImportReport(
        dataset=name,
        rows=parsed.rows,
        prompts=batch.add_prompts(name, [prompt for prompt in parsed.prompts if prompt.id not in known]),
        responses=batch.add_responses(name, [response for response in parsed.responses if response.id not in old]),
        tasks=batch.add_tasks(name, parsed.tasks),
        raters=batch.add_raters(name, parsed.raters),
        demonstrations=batch.add_demonstrations(name, parsed.demonstrations),
        judgments=len(batch.append_judgments(name, new)),
        known=len(parsed.judgments) - len(new),
        duplicates=parsed.duplicates,
        refused=parsed.problem_count,
        notes=parsed.notes,
        problems=parsed.refused,
    )
    if report.judgments or report.demonstrations or report.tasks:
        batch.add_event("import", import_event(report, parsed.format, parsed.path, parsed.file_sha256))
    return report


def _new_judgments(batch: Batch, parsed: ParsedImport) -> list[Judgment]:
    stored = batch.stored("judgments", parsed.dataset, (judgment.id for judgment in parsed.judgments))
    for judgment in parsed.judgments:
        if judgment.id in stored and stored[judgment.id] != _body(judgment):
            raise ImportRefused(
                f"{parsed.path} was imported into {parsed.dataset} before, but read in another way", cure=TWO_WAYS
            )
    return [judgment for judgment in parsed.judgments if judgment.id not in stored]


def _body(judgment: Judgment) -> str:
    """Canonical JSON without the fields that the journal fills, as the table holds it."""
    kept = {key: value for key, value in judgment.payload().items() if key not in ("prev_hash", "hash")}
    return canonical_json(kept).decode()
