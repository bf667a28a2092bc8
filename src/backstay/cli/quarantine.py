"""`backstay quarantine`: pairs that screening keeps from training, and a person's decision on them."""

import getpass
from typing import TYPE_CHECKING

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.pipeline.runs import Run
    from backstay.records import Pair, Prompt, Response

RUN_OPTION = click.option(
    "--run", "run_text", metavar="RUN", default="screen", show_default=True, help="A run of screen."
)


@click.group()
def quarantine() -> None:
    """List, show and release quarantined pairs."""


@quarantine.command(name="ls")
@RUN_OPTION
@shared_options
def ls(session: Session, run_text: str) -> None:
    """List quarantined pairs with the reasons."""
    pairs = [pair for pair in _pairs(_run(session, run_text)) if pair.status == "quarantined"]
    if session.as_json:
        session.emit([pair.payload() for pair in pairs])
        return
    rows = [(pair.id, ", ".join(f"{f.scanner}: {f.kind}" for f in pair.findings), pair.n_raters) for pair in pairs]
    session.table(("pair", "reasons", "raters"), rows)
    session.say(f"{len(pairs)} quarantined; look at one with: backstay quarantine show PAIR")


@quarantine.command()
@click.argument("pair_id", metavar="PAIR")
@RUN_OPTION
@shared_options
def show(session: Session, pair_id: str, run_text: str) -> None:
    """Show one pair: the prompt, both responses, and every finding with its evidence.

    PAIR is an id or an unambiguous beginning of one. The texts are untrusted; control characters are shown escaped.
    """
    from backstay.records import Prompt, Response
    from backstay.storage import read_records

    run = _run(session, run_text)
    pair = _find(_pairs(run), pair_id)
    rate = _rate_folder(session, run)
    prompt = next(row for row in read_records(rate / "prompts.jsonl", Prompt) if row.id == pair.prompt_id)
    texts = {row.id: row for row in read_records(rate / "responses.jsonl", Response) if row.id in (pair.a, pair.b)}
    if session.as_json:
        session.emit(
            {"pair": pair.payload(), "prompt": prompt.payload(), "a": texts[pair.a].text, "b": texts[pair.b].text}
        )
        return
    _print_pair(session, pair, prompt, texts)


@quarantine.command()
@click.argument("pair_id", metavar="PAIR")
@click.option("--reason", required=True, help="Why it may be learned from; kept in the journal.")
@click.option("--reviewer", default=getpass.getuser, show_default="your user name", help="Who decides.")
@RUN_OPTION
@shared_options
def release(session: Session, pair_id: str, reason: str, reviewer: str, run_text: str) -> None:
    """Let training use a quarantined pair; the decision is journalled and the next run applies it."""
    from backstay.errors import UsageError
    from backstay.storage import Store

    pair = _find(_pairs(_run(session, run_text)), pair_id)
    if pair.status != "quarantined":
        raise UsageError(f"{pair.id} is {pair.status}, not quarantined", cure="backstay quarantine ls")
    with Store(session.project.root) as store:
        review = store.repository.add_review(pair.id, "release", reviewer, reason)
    if session.as_json:
        session.emit(review.payload())
    else:
        session.say(f"{pair.id} released by {reviewer}; the next `backstay run` screens again with it")


def _run(session: Session, text: str) -> "Run":
    from backstay.errors import UsageError
    from backstay.pipeline.runs import resolve_run

    run = resolve_run(session.project, text)
    if run.stage != "screen" or run.manifest is None:
        raise UsageError(f"{run.name} is no finished run of screen", cure="backstay run --until screen")
    return run


def _pairs(run: "Run") -> "list[Pair]":
    from backstay.records import Pair
    from backstay.storage import read_records

    return read_records(run.path / "pairs.jsonl", Pair)


def _find(pairs: "list[Pair]", text: str) -> "Pair":
    from backstay.errors import UsageError

    found = [pair for pair in pairs if pair.id.startswith(text)]
    if len(found) != 1:
        raise UsageError(f"{len(found)} pairs begin with {text!r}", cure="backstay quarantine ls")
    return found[0]


def _rate_folder(session: Session, run: "Run") -> "Path":
    predicate = run.manifest.predicate if run.manifest else {}
    return session.project.runs / str(predicate["inputs"]["rate"]["run"])


def _print_pair(session: Session, pair: "Pair", prompt: "Prompt", texts: "dict[str, Response]") -> None:
    session.say(
        f"{pair.id}  {pair.status}  P(a over b) {pair.p_a:.2f}  weight {pair.weight:.2f}  raters {pair.n_raters}"
    )
    for message in prompt.messages:
        session.say(f"  {message.role}: {visible(message.content)}")
    session.say(f"  a: {visible(texts[pair.a].text)}")
    session.say(f"  b: {visible(texts[pair.b].text)}")
    for finding in pair.findings:
        session.say(f"  {finding.severity} {finding.scanner}: {finding.kind}: {visible(finding.evidence)}")


def visible(text: str) -> str:
    """Untrusted text with everything that could steer a terminal written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
