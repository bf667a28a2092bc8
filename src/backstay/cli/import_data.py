"""`backstay import`: judgments from files that other people wrote."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.feedback.importing import ParsedImport

TABLES = ("csv", "jsonl", "parquet")
FORMATS = ("hh-rlhf", "trl", "production", *TABLES)
TABLE_OPTIONS = {
    "--column": "columns",
    "--value": "values",
    "--messages": "messages",
    "--a-shown-first": "a_shown_first",
}
SUFFIX_CURE = "name the file .csv, .jsonl or .parquet (.gz may follow), as its content is"


@click.command(name="import")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", help="The data set to add to. [default: the file's name]")
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Tables: what the file calls a column.")
@click.option(
    "--value", "values", multiple=True, metavar="THEIRS=OURS", help="Tables: a choice as a, b, tie or both_bad."
)
@click.option("--messages", is_flag=True, help="Tables: the prompt column holds JSON messages, not one user's text.")
@click.option("--a-shown-first", is_flag=True, help="Tables: raters saw response_a first in every row.")
@click.option(
    "--dimension",
    type=click.Choice(("helpful", "harmless", "honest", "overall")),
    default="overall",
    show_default=True,
    help="What was judged.",
)
@click.option(
    "--heldout-share",
    type=click.FloatRange(0.0, 0.9),
    default=0.1,
    show_default=True,
    help="Share of prompts kept out of training, chosen by hash.",
)
@click.option("--allow-partial", is_flag=True, help="Import the good rows when some are bad.")
@shared_options
def import_data(
    session: Session, form: str, path: Path, dataset: str | None, allow_partial: bool, **options: Any
) -> None:
    """Store judgments from a file; bad rows are refused with line numbers.

    FORMAT is hh-rlhf, trl (no rater ids in either), production (the tasks.jsonl of `backstay guard harvest`), or csv,
    jsonl, parquet: a judgment a row with the columns prompt, response_a, response_b, choice (a, b, tie, both_bad) and
    rater. Nothing is stored when any row is bad, unless --allow-partial is given; then the bad ones are counted.
    Importing a file again stores nothing new.
    """
    from backstay.feedback.importing import import_into
    from backstay.storage import Store

    parsed = _parse(form, path, dataset or path.name.split(".")[0], options)
    with Store(session.project.root, create=True) as store:
        report = import_into(store, parsed, allow_partial=allow_partial)
    if session.as_json:
        session.emit(vars(report) | {"problems": list(parsed.problems)})
        return
    session.say(report.summary())
    for problem in parsed.problems[:10]:
        session.say(f"  refused {problem}")
    session.say(f"use it with: backstay run rate.source=dataset rate.dataset={report.dataset} demonstrations=preferred")


def _parse(form: str, path: Path, dataset: str, options: dict[str, Any]) -> "ParsedImport":
    from backstay.feedback.importing import TableSettings, read_hh_rlhf, read_production, read_table, read_trl

    if form == "production":
        _refuse_table_options(form, options)
        return read_production(path, dataset=dataset, heldout_share=options["heldout_share"])
    shared = {"dimension": options["dimension"], "heldout_share": options["heldout_share"]}
    if form not in TABLES:
        _refuse_table_options(form, options)
        read = read_hh_rlhf if form == "hh-rlhf" else read_trl
        return read(path, dataset=dataset, **shared)
    _check_suffix(form, path)
    settings = TableSettings(
        columns=_pairs("--column", options["columns"]),
        values=_pairs("--value", options["values"]),
        prompt_kind="messages" if options["messages"] else "text",
        a_shown_first=options["a_shown_first"],
        **shared,
    )
    return read_table(path, dataset=dataset, settings=settings)


def _refuse_table_options(form: str, options: dict[str, Any]) -> None:
    given = [flag for flag, name in TABLE_OPTIONS.items() if options[name]]
    if given:
        raise click.UsageError(f"{form} is no table; leave out {', '.join(given)}")


def _check_suffix(form: str, path: Path) -> None:
    from backstay.errors import UsageError
    from backstay.feedback.importing.rows import format_of

    found = format_of(path)
    if found != form:
        raise UsageError(f"{path.name} is named as {found}, not {form}", cure=SUFFIX_CURE)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    split = [text.partition("=") for text in texts]
    wrong = [text for text, (left, equals, _) in zip(texts, split, strict=True) if not (left and equals)]
    if wrong:
        raise click.UsageError(f"{option} {wrong[0]!r}: write NAME=NAME")
    return {left: right for left, _, right in split}
