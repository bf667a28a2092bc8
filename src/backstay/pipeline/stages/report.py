"""Report: one self-contained page from whatever stages have run."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from backstay import __version__
from backstay.feedback import rater_kinds
from backstay.pipeline.manifest import Manifest, read_manifest
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import StageContext, Summary
from backstay.report import ReportMeta, StageMeta, build_report, load_report_data
from backstay.storage import write_atomic

GOLD_RULE = (
    "three quarters for doing what the prompt's family asks for (help, refuse, help although it sounds unsafe, correct "
    "a wrong opinion), one quarter for coming to an end, times the share of the text that is no repetition"
)
ENDED_EARLY = "stop_reason"


def run(context: StageContext) -> Summary:
    """Read the input runs and write report.html."""
    manifests = {stage: found for stage, path in context.inputs.items() if (found := read_manifest(path))}
    meta = report_meta(context.recipe, context.inputs, manifests)
    page = build_report(load_report_data(context.inputs, meta, context.recipe.report))
    write_atomic(context.folder.path / "report.html", page.encode())
    return {"bytes": len(page.encode()), "stages": len(context.inputs)}


def report_meta(recipe: Recipe, inputs: Mapping[str, Path], manifests: Mapping[str, Manifest]) -> ReportMeta:
    """What the report says that stands in no output file."""
    simulated = recipe.rate.source == "simulated"
    return ReportMeta(
        title=recipe.name,
        imported=not simulated or recipe.prompts != "demo",
        simulated_gold=True,
        gold_rule=GOLD_RULE if recipe.prompts == "demo" and simulated else "",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        model=recipe.model.source,
        algorithm=recipe.ppo.algorithm,
        kl_budget_nats=(recipe.dpo if recipe.evaluate.policy == "dpo" else recipe.ppo).kl_budget or None,
        policy_stage=recipe.evaluate.policy,
        stages={stage: StageMeta(seconds=found.predicate.get("seconds")) for stage, found in manifests.items()},
        rater_kinds=rater_kinds(recipe.rate) if simulated else {},
        commands=("backstay run", *(f"backstay verify .backstay/runs/{path.name}" for path in inputs.values())),
        notes=tuple(_notes(manifests)),
    )


def _notes(manifests: Mapping[str, Manifest]) -> list[str]:
    """The named reasons of stages that ended before their goal."""
    reasons = {stage: found.predicate.get("summary", {}).get(ENDED_EARLY) for stage, found in manifests.items()}
    return [f"{stage} ended early: {reason}" for stage, reason in reasons.items() if reason]
