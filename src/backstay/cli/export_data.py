"""`backstay export`: pairs, judgments, merged models and run specs for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.feedback.exporting import ExportFormat, ExportReport

JUDGMENTS = ("csv", "jsonl", "parquet", "hh-rlhf", "ultrafeedback", "argilla", "label-studio")
FORMATS = ("trl", *JUDGMENTS, "merged", "verl", "openrlhf")
SUFFIX_CURE = "name the file .csv, .jsonl or .parquet, as its content is"


@click.command(name="export")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("places", metavar="[RUN] PATH", nargs=-1, required=True)
@click.option(
    "--run",
    "run_text",
    metavar="RUN",
    help="trl: the run of screen; merged: the run of ppo, dpo or sft. [default: the latest of screen, of ppo]",
)
@click.option(
    "--dataset",
    help="The data set whose judgments are written; trl: these instead of screened pairs."
    " [default: the one of the latest rate run]",
)
@click.option("--force", is_flag=True, help="Replace PATH when it is a file.")
@click.option(
    "--reference/--no-reference",
    default=True,
    show_default=True,
    help="verl, openrlhf: merge the policy that training starts from; as large as the base.",
)
@shared_options
def export_data(
    session: Session,
    form: str,
    places: tuple[str, ...],
    run_text: str | None,
    dataset: str | None,
    force: bool,
    reference: bool,
) -> None:
    """Write pairs, judgments, merged models or run specs for other tools.

    FORMAT trl writes the screened pairs as preference rows with p_chosen and weight, or, with --dataset, every judgment
    of a data set as rows of its own. csv, jsonl and parquet write a data set's judgments as a table that `backstay
    import` reads back (with --messages); hh-rlhf, ultrafeedback, argilla and label-studio in those layouts. FORMAT
    merged writes a new folder with the trained model, adapters folded into its weights, that transformers and other
    tools load. FORMAT verl and openrlhf write a new folder with everything that those trainers need to repeat a run of
    ppo at scale.

    RUN may stand before PATH instead of after --run.
    """
    from backstay.errors import UsageError

    path, run_text = _places(places, run_text)
    if form == "merged":
        _merged(session, path, run_text or "ppo")
        return
    if form in ("verl", "openrlhf"):
        _run_spec(session, form, path, run_text or "ppo", reference)
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder", cure="name a file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists", cure="choose another name, or give --force")
    if form == "trl" and dataset is None:
        report = _pairs(session, path, run_text or "screen")
    elif run_text is not None:
        raise click.UsageError("the judgments of a data set belong to no run; leave RUN out")
    else:
        report = _judgments(session, form, path, dataset)
    left_out = {reason: count for reason, count in report.left_out.items() if count}
    if session.as_json:
        session.emit({"path": str(path), "written": report.written, "left_out": left_out})
        return
    said = "".join(f"; left out, {reason}: {count}" for reason, count in left_out.items())
    session.say(f"{report.written} rows written to {path}{said}")


def _places(places: tuple[str, ...], run_text: str | None) -> tuple[Path, str | None]:
    if len(places) == 1:
        return Path(places[0]), run_text
    if len(places) > 2 or run_text is not None:
        raise click.UsageError("give FORMAT, at most one RUN, and one PATH")
    return Path(places[1]), places[0]


def _run_spec(session: Session, form: str, path: Path, run_text: str, reference: bool) -> None:
    from backstay.pipeline.run_specs import export_run_spec
    from backstay.pipeline.runs import resolve_run

    run = resolve_run(session.project, run_text)
    kind: Literal["verl", "openrlhf"] = "verl" if form == "verl" else "openrlhf"
    written = export_run_spec(session.project, run, kind, path, reference=reference)
    if session.as_json:
        session.emit({"path": str(path), "run": run.name, **vars(written)})
        return
    session.say(f"{run.name} written to {path} for {form}: {written.train} prompts, {written.heldout} held out")
    session.say(
        f"next: backstay serve-reward {run.name}, then {path}/run.sh where {form} is; {path}/README.md says how"
    )


def _pairs(session: Session, path: Path, run_text: str) -> "ExportReport":
    from backstay.errors import UsageError
    from backstay.feedback.exporting import export_pairs
    from backstay.pipeline.runs import resolve_run
    from backstay.records import Pair, Prompt, Response
    from backstay.storage import read_records

    run = resolve_run(session.project, run_text)
    if run.stage != "screen" or run.manifest is None:
        raise UsageError(f"{run.name} is no finished run of screen", cure="backstay run --until screen")
    rate = session.project.runs / str(run.manifest.predicate["inputs"]["rate"]["run"])
    return export_pairs(
        path,
        read_records(run.path / "pairs.jsonl", Pair),
        read_records(rate / "prompts.jsonl", Prompt),
        read_records(rate / "responses.jsonl", Response),
    )


def _merged(session: Session, path: Path, run_text: str) -> None:
    from backstay.pipeline.runs import resolve_run

    run = resolve_run(session.project, run_text)
    from backstay.learn.export import export_merged
    from backstay.learn.trained_policies import load_trained
    from backstay.pipeline.model_cards import policy_card

    trained = load_trained(run)
    export_merged(trained.model, trained.after, path, model_card=policy_card(session.project, run, trained))
    if session.as_json:
        session.emit({"path": str(path), "run": run.name, "base": trained.model.name})
        return
    session.say(f"{run.name} merged into {trained.model.name} and written to {path}")


def _judgments(session: Session, form: str, path: Path, dataset: str | None) -> "ExportReport":
    from backstay.errors import UsageError
    from backstay.feedback.exporting import export_dataset
    from backstay.feedback.importing.rows import format_of
    from backstay.pipeline.runs import latest_run
    from backstay.storage import Store

    if form in ("csv", "jsonl", "parquet") and (format_of(path) != form or path.name.endswith(".gz")):
        raise UsageError(f"{path.name} is not named as {form}", cure=SUFFIX_CURE)
    if dataset is None:
        rate = latest_run(session.project, "rate")
        dataset = str(rate.manifest.predicate["summary"]["dataset"] if rate.manifest else "")
    with Store(session.project.root) as store:
        if dataset not in {found.name for found in store.repository.datasets()}:
            raise UsageError(f"no data set {dataset!r} is stored", cure="backstay import FORMAT PATH")
        return export_dataset(path, store.repository, dataset, cast("ExportFormat", form))
