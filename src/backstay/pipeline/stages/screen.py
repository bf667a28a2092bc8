"""Screen: which pairs a model may learn from, with the decisions that people took on quarantined ones."""

from pathlib import Path

from backstay.errors import UsageError
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import StageContext, Summary
from backstay.records import (
    Judgment,
    Pair,
    Prompt,
    RaterTrust,
    Response,
    Task,
    canonical_json,
    content_hash,
    file_sha256,
)
from backstay.screen import ScreenSettings, screen
from backstay.storage import Review, Store, read_records, write_atomic, write_records


def extra_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The reviews that count, and the baseline file where the recipe names one."""
    decisions = {review.item_id: [review.action, review.reviewer, review.reason] for review in _reviews(project)}
    found = {"reviews": content_hash(decisions)}
    path = _baseline_path(project, recipe.screen)
    return found if path is None else found | {"baseline": file_sha256(path)}


def run(context: StageContext) -> Summary:
    """Check every pair of the aggregate run; write pairs.jsonl and screen.json."""
    rate, aggregate = context.inputs["rate"], context.inputs["aggregate"]
    settings = context.recipe.screen
    path = _baseline_path(context.project, settings)
    found = screen(
        read_records(aggregate / "pairs.jsonl", Pair),
        read_records(rate / "prompts.jsonl", Prompt),
        read_records(rate / "responses.jsonl", Response),
        read_records(rate / "tasks.jsonl", Task),
        read_records(rate / "judgments.jsonl", Judgment),
        read_records(aggregate / "trust.jsonl", RaterTrust),
        _reviews(context.project),
        settings if path is None else settings.model_copy(update={"baseline": str(path)}),
    )
    write_records(context.folder.path / "pairs.jsonl", found.pairs)
    write_atomic(context.folder.path / "screen.json", canonical_json(found.summary) + b"\n")
    counted = ("pairs", "accepted", "quarantined", "released", "no_side_preferred", "reviews_of_unknown_pairs")
    return {name: found.summary[name] for name in counted} | {"by_reason": found.summary["by_reason"]}


def _reviews(project: Project) -> list[Review]:
    """Every review, oldest first; none where there is no database yet."""
    if not Store.may_exist(project.root):
        return []
    with Store(project.root) as store:
        return store.repository.reviews()


def _baseline_path(project: Project, settings: ScreenSettings) -> Path | None:
    if settings.baseline in ("default", "none"):
        return None
    path = project.resolve(settings.baseline)
    if not path.is_file():
        raise UsageError(f"screen.baseline: no file at {path}", cure="write `default`, `none`, or the path of a file")
    return path
