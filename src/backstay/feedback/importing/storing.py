"""Storing what an importer parsed: all of it in one transaction, or nothing."""

from dataclasses import dataclass

from backstay.errors import ImportRefused
from backstay.feedback.importing.parsed import ParsedImport
from backstay.records import Judgment, canonical_json
from backstay.storage import Batch, Store

SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class ImportReport:
    """What an import stored. `known` counts judgments that the data set held already."""

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

    def summary(self) -> str:
        """One line for people."""
        if self.tasks and not self.judgments:
            said = f"{self.tasks} tasks to be judged on {self.prompts} new prompts into {self.dataset}"
        elif not self.judgments and not self.demonstrations:
            said = f"nothing new for {self.dataset}: all {self.known} judgments were imported before"
        else:
            said = f"{self.judgments} judgments on {self.prompts} new prompts into {self.dataset}"
            said += f"; {self.known} were imported before" if self.known else ""
        said += f"; {self.duplicates} duplicate rows counted once" if self.duplicates else ""
        said += f"; {self.refused} of {self.rows} rows refused" if self.refused else ""
        return "; ".join((said, *self.notes))


def import_into(store: Store, parsed: ParsedImport, *, allow_partial: bool = False) -> ImportReport:
    """Store a parsed file in its data set; storing it again stores nothing.

    Raises ImportRefused when rows break the format, unless `allow_partial`; then nothing is stored.
    """
    _refuse(parsed, allow_partial)
    with store.repository.batch() as batch:
        return _store(batch, parsed)


def _refuse(parsed: ParsedImport, allow_partial: bool) -> None:
    good = parsed.rows - parsed.problem_count
    if not parsed.problem_count or (allow_partial and good):
        return
    shown = "\n".join(f"  {problem}" for problem in parsed.problems[:SHOWN_PROBLEMS])
    more = parsed.problem_count - min(SHOWN_PROBLEMS, len(parsed.problems))
    raise ImportRefused(
        f"{parsed.path}: {parsed.problem_count} of {parsed.rows} rows break the format; nothing was stored\n{shown}"
        + (f"\n  and {more} more" if more else ""),
        problems=parsed.problems,
        cure=f"mend the file, or import the other {good} rows with --allow-partial" if good else "mend the file",
    )


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
    )
    if report.judgments or report.demonstrations or report.tasks:
        batch.add_event("import", _event(parsed, report))
    return report


def _new_judgments(batch: Batch, parsed: ParsedImport) -> list[Judgment]:
    stored = batch.stored("judgments", parsed.dataset, (judgment.id for judgment in parsed.judgments))
    for judgment in parsed.judgments:
        if judgment.id in stored and stored[judgment.id] != _body(judgment):
            raise ImportRefused(
                f"{parsed.path} was imported into {parsed.dataset} before, but read in another way",
                cure="use the same column and value map, or another data set",
            )
    return [judgment for judgment in parsed.judgments if judgment.id not in stored]


def _body(judgment: Judgment) -> str:
    """Canonical JSON without the fields that the journal fills, as the table holds it."""
    kept = {key: value for key, value in judgment.payload().items() if key not in ("prev_hash", "hash")}
    return canonical_json(kept).decode()


def _event(parsed: ParsedImport, report: ImportReport) -> dict[str, str | int]:
    return {
        "dataset": parsed.dataset,
        "format": parsed.format,
        "file": parsed.path,
        "file_sha256": parsed.file_sha256,
        "judgments": report.judgments,
        "refused": report.refused,
    }
