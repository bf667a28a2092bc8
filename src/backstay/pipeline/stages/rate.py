"""Rate: judgments by simulated raters or of a stored data set, written as a snapshot of what the store holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backstay.errors import UsageError
from backstay.feedback import pair_tasks, simulate_judgments
from backstay.feedback.audits import ADJUDICATED
from backstay.feedback.settings import RateSettings
from backstay.pipeline.digests import prompt_inputs
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.texts import load_prompts
from backstay.records import Judgment, Prompt, Rater, Response, Task, content_hash
from backstay.storage import Repository, Store, read_records, write_records


def extra_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The content of the data set that the recipe names, or the prompts file that simulated raters read."""
    if recipe.rate.source == "simulated":
        return prompt_inputs(project, recipe)
    with Store(project.root) as store:
        _require(store.repository, recipe.rate.dataset)
        return {"dataset": store.repository.dataset_digest(recipe.rate.dataset)}


def run(context: StageContext) -> Summary:
    """Fill the store when raters are simulated, then write prompts, responses, tasks, raters and judgments."""
    settings = context.recipe.rate
    with Store(context.project.root, create=True) as store:
        made: dict[str, Any] = {}
        dataset = settings.dataset
        if settings.source == "simulated":
            dataset, made = _simulate(context, settings, store.repository)
        _require(store.repository, dataset)
        snapshot, audits = _read(store.repository, dataset), store.repository.audits(dataset)
    for name, records in vars(snapshot).items():
        write_records(context.folder.path / f"{name}.jsonl", records)
    if audits:
        made["adjudicated_pairs"] = write_records(context.folder.path / ADJUDICATED, audits)
    return {"dataset": dataset, **{name: len(records) for name, records in vars(snapshot).items()}, **made}


@dataclass(frozen=True)
class _Snapshot:
    prompts: Sequence[Prompt]
    responses: Sequence[Response]
    tasks: Sequence[Task]
    raters: Sequence[Rater]
    judgments: Sequence[Judgment]


def _simulate(context: StageContext, settings: RateSettings, repository: Repository) -> tuple[str, dict[str, Any]]:
    """Store what the simulated pool says of the sampled responses; storing it again changes nothing."""
    responses = read_records(context.inputs["sample"] / "responses.jsonl", Response)
    answered = Counter(response.prompt_id for response in responses)
    prompts = [prompt for prompt in load_prompts(context.recipe, context.project) if prompt.id in answered]
    batch = pair_tasks(
        prompts,
        responses,
        per_prompt=settings.pairs_per_prompt,
        gold_share=settings.gold_share,
        gold_gap=settings.gold_gap,
        wanted=settings.judgments_per_task,
        seed=settings.seed,
    )
    raters, judgments = simulate_judgments(prompts, responses, batch.tasks, settings)
    named = [settings.model_dump(mode="json"), [prompt.id for prompt in prompts], [r.id for r in responses]]
    dataset = f"simulated-{content_hash(named)[:12]}"
    context.say(f"{len(raters)} simulated raters judge {len(batch.tasks)} tasks")
    with repository.batch() as writing:
        writing.add_prompts(dataset, prompts)
        writing.add_responses(dataset, responses)
        writing.add_tasks(dataset, batch.tasks)
        writing.add_raters(dataset, raters)
    known = {judgment.id for judgment in repository.all_judgments(dataset)}
    repository.append_judgments(dataset, [judgment for judgment in judgments if judgment.id not in known])
    counts = {
        "identical_skipped": batch.identical_skipped,
        "prompts_without_pair": batch.prompts_without_pair,
        "gold_wanted": batch.gold_wanted,
        "gold_set": batch.gold_set,
    }
    return dataset, counts


def _read(repository: Repository, dataset: str) -> _Snapshot:
    """The data set without the journal's hashes, which depend on what else was journalled before it."""
    judgments = [row.model_copy(update={"prev_hash": "", "hash": ""}) for row in repository.judgments(dataset)]
    return _Snapshot(
        prompts=repository.prompts(dataset),
        responses=repository.responses(dataset),
        tasks=repository.tasks(dataset),
        raters=repository.raters(dataset),
        judgments=judgments,
    )


def _require(repository: Repository, dataset: str) -> None:
    stored = {found.name: found for found in repository.datasets()}
    if dataset not in stored:
        names = ", ".join(stored) or "none"
        raise UsageError(f"no data set {dataset!r} is stored; there are: {names}", cure="backstay import FORMAT PATH")
    if not stored[dataset].judgments:
        raise UsageError(f"data set {dataset!r} holds no judgments", cure="import some, or name another data set")
