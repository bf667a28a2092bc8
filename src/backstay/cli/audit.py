"""`backstay audit`: which pairs should a trusted person judge once more, to find out whom to believe?"""

from pathlib import Path

import click

from backstay.cli.session import Session, shared_options


@click.command()
@click.option("--run", "run_text", metavar="RUN", default="aggregate", show_default=True, help="A run of aggregate.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("audit.jsonl"), show_default=True,
    help="File to write; one that exists is never overwritten.",
)  # fmt: skip
@shared_options
def audit(session: Session, run_text: str, output: Path) -> None:
    """Write the pairs that a trusted person should judge once more.

    They are drawn from topics on which votes contradict each other more than the raters' accuracies explain, or answers
    do not follow what the responses say as they do elsewhere. Answer "better" in each line, then run with
    aggregate.audits=FILE: a topic is judged apart where the answers call for it.
    """
    import json

    from backstay.errors import UsageError
    from backstay.feedback import audit_questions
    from backstay.pipeline.runs import resolve_run
    from backstay.records import Pair, Prompt, Response
    from backstay.storage import read_records, write_atomic

    run = resolve_run(session.project, run_text)
    summary = json.loads((run.path / "aggregate.json").read_text(encoding="utf-8"))
    asked = set(summary["audit"])
    pairs = [pair for pair in read_records(run.path / "pairs.jsonl", Pair) if pair.id in asked]
    rate = session.project.runs / (run.manifest.predicate if run.manifest else {})["inputs"]["rate"]["run"]
    prompts = {row.id: row for row in read_records(rate / "prompts.jsonl", Prompt)}
    responses = {row.id: row for row in read_records(rate / "responses.jsonl", Response)}
    questions = audit_questions(pairs, prompts, responses)
    topics = [row for row in summary["topics"] if row["suspected"] and not row["judged_apart"]]
    if session.as_json:
        session.emit({"topics": topics, "questions": questions})
        return
    columns = ("topic", "votes", "contradicted beyond expectation", "z")
    rows = [(t["topic"], t["votes"], f"{t['excess_contradictions']:.1%} of votes", f"{t['z']:.1f}") for t in topics]
    session.table(columns, rows)
    if not questions:
        session.say("no topic is suspected: nothing to audit")
        return
    if output.exists():
        raise UsageError(f"{output} exists, and may hold answers", cure="name another file with -o")
    write_atomic(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in questions).encode())
    session.say(f'{len(questions)} pairs in {output}; answer "better", then: backstay run aggregate.audits=FILE')
