"""`backstay import`: judgments from files that other people wrote."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.feedback.importing import ImportFormat

TABLES = ("csv", "jsonl", "parquet")
FIELDS = ("argilla", "label-studio")
FORMATS = ("unjudged", "hh-rlhf", "trl", "ultrafeedback", *FIELDS, "production", *TABLES)
MESSAGES = {"--messages": "messages"}
MAP_OPTIONS = {"--column": "columns", "--value": "values"}
TABLE_OPTIONS = {**MESSAGES, "--a-shown-first": "a_shown_first"}
TAKEN = {
    **{form: {**MAP_OPTIONS, **TABLE_OPTIONS} for form in TABLES},
    **dict.fromkeys(FIELDS, MAP_OPTIONS),
    "unjudged": {"--column": "columns", **MESSAGES},
}
"""Options that only these formats look at."""
SHOWN = 10


@click.command(name="import")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", help="The data set to add to. [default: the file's name]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    help="What a table calls a column, or argilla and label-studio a field or question.",
)
@click.option(
    "--value", "values", multiple=True, metavar="THEIRS=OURS", help="The file's choice as a, b, tie or both_bad."
)
@click.option("--messages", is_flag=True, help="Tables, unjudged: the prompts are JSON messages, not one user's text.")
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
@click.option(
    "--allow-partial",
    is_flag=True,
    help="Import the good rows when some are bad, and write the bad ones to PATH.rejects.jsonl.",
)
@click.option(
    "--in-pieces",
    is_flag=True,
    help="For a console that is in use: store 100 records at a time, so that raters' answers go in between.",
)
@shared_options
def import_data(
    session: Session,
    form: "ImportFormat",
    path: Path,
    dataset: str | None,
    allow_partial: bool,
    in_pieces: bool,
    **options: Any,
) -> None:
    """Store judgments from a file, or responses to be judged; bad rows are refused with their places.

    FORMAT is unjudged (a prompt a row with response_a, response_b, ..., for raters of the console), hh-rlhf, trl,
    ultrafeedback (no rater ids in these), argilla, label-studio (what these tools export), production (the tasks.jsonl
    of `backstay guard harvest`), or csv, jsonl, parquet: a judgment a row with the columns prompt, response_a,
    response_b, choice (a, b, tie, both_bad) and rater. Nothing is stored when any row is bad,
    unless --allow-partial is given; then the bad ones are counted and written beside the file. Importing a file again
    stores nothing new; one that was ended in the middle stores nothing either, with --in-pieces a part, from which the
    same file goes on.
    """
    from backstay.feedback.importing import ImportSettings, import_stream
    from backstay.feedback.importing.rejects import rejects_path
    from backstay.storage import Store

    _refuse_options(form, options)
    settings = ImportSettings(
        dataset=dataset or path.name.split(".")[0],
        columns=_pairs("--column", options["columns"]),
        values=_pairs("--value", options["values"]),
        prompt_kind="messages" if options["messages"] else "text",
        a_shown_first=options["a_shown_first"],
        dimension=options["dimension"],
        heldout_share=options["heldout_share"],
        allow_partial=allow_partial,
    )
    rejects = rejects_path(path) if allow_partial else None
    with Store(session.project.root, create=True) as store:
        report = import_stream(store.repository, path, form, settings, rejects=rejects, in_pieces=in_pieces)
    if session.as_json:
        session.emit(vars(report) | {"problems": [problem.payload() for problem in report.problems]})
        return
    session.say(report.summary())
    for problem in report.problems[:SHOWN]:
        session.say(f"  refused {problem}")
    if form == "unjudged":
        session.say(f"have it judged: backstay serve, then make a project of the data set {report.dataset}")
        return
    session.say(f"use it with: backstay run rate.source=dataset rate.dataset={report.dataset} demonstrations=preferred")


def _refuse_options(form: str, options: dict[str, Any]) -> None:
    """Refuse options that the format does not look at."""
    taken = TAKEN.get(form, {})
    given = [flag for flag, name in {**MAP_OPTIONS, **TABLE_OPTIONS}.items() if options[name] and flag not in taken]
    if given:
        raise click.UsageError(f"{form} does not take {', '.join(given)}; leave them out")


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    split = [text.partition("=") for text in texts]
    wrong = [text for text, (left, equals, _) in zip(texts, split, strict=True) if not (left and equals)]
    if wrong:
        raise click.UsageError(f"{option} {wrong[0]!r}: write NAME=NAME")
    return {left: right for left, _, right in split}
