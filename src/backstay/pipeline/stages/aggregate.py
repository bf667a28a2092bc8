"""Aggregate: judgments to pairs, and raters to trust."""

from pathlib import Path

from backstay.aggregate import AggregateSettings, aggregate
from backstay.errors import UsageError
from backstay.feedback import read_audits
from backstay.feedback.audits import ADJUDICATED
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import StageContext, Summary
from backstay.records import Audit, Judgment, Prompt, Rater, Response, Task, canonical_json, file_sha256
from backstay.screen import text_witness
from backstay.storage import read_records, write_atomic, write_records


def extra_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The answers of an audit, where the recipe names them."""
    path = _audits_path(project, recipe.aggregate)
    return {} if path is None else {"audits": file_sha256(path)}


def run(context: StageContext) -> Summary:
    """Read tasks and judgments of the rate run; write pairs.jsonl, trust.jsonl and aggregate.json."""
    rate, settings = context.inputs["rate"], context.recipe.aggregate
    path = _audits_path(context.project, settings)
    prompts = read_records(rate / "prompts.jsonl", Prompt)
    found = aggregate(
        read_records(rate / "tasks.jsonl", Task),
        read_records(rate / "judgments.jsonl", Judgment),
        settings,
        topics=topics_of(prompts, settings.topic_tag),
        audits=_audits(rate, path),
        raters=read_records(rate / "raters.jsonl", Rater),
        witness=text_witness(prompts, read_records(rate / "responses.jsonl", Response)),
    )
    folder = context.folder.path
    write_records(folder / "pairs.jsonl", found.pairs)
    write_records(folder / "trust.jsonl", found.trust)
    write_atomic(folder / "aggregate.json", canonical_json(found.summary) + b"\n")
    for warning in found.summary["warnings"]:
        context.say(warning)
    counts, held_out = found.summary["counts"], found.summary["held_out_gold"]
    return {
        "pairs": len(found.pairs),
        "raters": len(found.trust),
        "below_chance": counts["raters_below_chance"],
        "in_blocs": counts["raters_in_blocs"],
        "heldout_gold": held_out["items"],
        "reliability_accuracy": held_out["reliability_accuracy"],
        "majority_accuracy": held_out["majority_accuracy"],
    }


def topics_of(prompts: list[Prompt], tag: str) -> dict[str, str]:
    """The topic of each prompt that names one in `tag`, by id."""
    return {prompt.id: topic for prompt in prompts if isinstance(topic := prompt.tags.get(tag), str) and topic}


def _audits(rate: Path, path: Path | None) -> list[Audit]:
    """What was decided in the console, and in the file that the recipe names; raises UsageError where they disagree."""
    adjudicated = rate / ADJUDICATED
    found = {audit.pair: audit for audit in read_records(adjudicated, Audit)} if adjudicated.is_file() else {}
    for audit in () if path is None else read_audits(path):
        if found.setdefault(audit.pair, audit).winner != audit.winner:
            raise UsageError(
                f"aggregate.audits: the file prefers {audit.winner} of prompt {audit.prompt_id}, the console does not",
                cure="take the line out of the file, or open the item in the console and decide it anew",
            )
    return list(found.values())


def _audits_path(project: Project, settings: AggregateSettings) -> Path | None:
    if not settings.audits:
        return None
    path = project.resolve(settings.audits)
    if not path.is_file():
        raise UsageError(f"aggregate.audits: no file at {path}", cure="write its path, or nothing for none")
    return path
