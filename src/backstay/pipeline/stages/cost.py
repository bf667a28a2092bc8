"""What each stage of a recipe will cost on this machine; the formulas are in learn/cost.py."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backstay.learn.cost import (
    Base,
    Estimate,
    evaluate_cost,
    ppo_cost,
    reward_cost,
    sample_cost,
    sft_cost,
)
from backstay.learn.machine_speed import measure_machine
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import device_of, is_local, load_reader, use_threads
from backstay.learn.preference.cost import dpo_cost
from backstay.learn.settings import ModelSettings
from backstay.pipeline.plan import StageCost
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.texts import load_demonstrations, load_prompts
from backstay.records import Prompt
from backstay.storage import Store

RATE_S, AGGREGATE_S, SCREEN_S, REDTEAM_S = 6e-4, 2.2e-4, 1.0e-4, 1.8e-4
"""Seconds a judgment: written by simulated raters, aggregated, screened, and in one repetition of the attack."""
REPETITION_S = 0.22
"""Seconds of one repetition of the attack, whatever its judgments."""
REPORT_S = 1.5
SMALL_STAGE_BYTES = 300 << 20
"""Resident bytes of a stage without a model."""
JUDGMENT_BYTES, PAIR_BYTES, SMALL_FILE_BYTES = 450, 500, 300_000


@dataclass(frozen=True)
class Counts:
    """What a recipe has to work on; lengths in tokens."""

    train: tuple[int, ...]
    heldout: tuple[int, ...]
    responses: int
    pairs: int
    judgments: int
    width: int


Cost = Callable[[Project, Recipe], StageCost]


def _where_known(cost: Cost) -> Callable[[Project, Recipe], StageCost | None]:
    """None instead of an estimate while the base model would have to be fetched first."""

    @functools.wraps(cost)
    def known(project: Project, recipe: Recipe) -> StageCost | None:
        return cost(project, recipe) if is_local(recipe.model.source) else None

    return known


@_where_known
def sft(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the sft stage."""
    prompts, responses = _lessons(project, recipe)
    return _stage_cost(sft_cost(_base(recipe.model), prompts, responses, recipe.sft))


@_where_known
def sample(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the sample stage."""
    return _stage_cost(sample_cost(_base(recipe.model), _counts(project, recipe).train, recipe.sample))


@_where_known
def reward(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the reward stage."""
    counts = _counts(project, recipe)
    width = min(counts.width, recipe.reward.max_response_tokens)
    found = reward_cost(_base(recipe.model), counts.train, counts.responses, width, counts.pairs, recipe.reward)
    return _stage_cost(found)


@_where_known
def ppo(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the ppo stage."""
    return _stage_cost(ppo_cost(_base(recipe.model), _counts(project, recipe).train, recipe.reward, recipe.ppo))


@_where_known
def dpo(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the dpo stage."""
    counts = _counts(project, recipe)
    width = min(counts.width, recipe.dpo.max_response_tokens)
    found = dpo_cost(_base(recipe.model), counts.train, counts.responses, width, counts.pairs, recipe.dpo)
    return _stage_cost(found)


@_where_known
def evaluate(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the evaluate stage."""
    settings, held = recipe.evaluate, _counts(project, recipe).heldout
    found = evaluate_cost(
        _base(recipe.model), held, settings.responses, settings.max_new_tokens, settings.batch_size, recipe.reward
    )
    return _stage_cost(found)


@_where_known
def rate(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the rate stage."""
    return _small(project, recipe, RATE_S, JUDGMENT_BYTES)


@_where_known
def aggregate(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the aggregate stage."""
    return _small(project, recipe, AGGREGATE_S, PAIR_BYTES / recipe.rate.judgments_per_task)


@_where_known
def screen(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the screen stage."""
    return _small(project, recipe, SCREEN_S, PAIR_BYTES / recipe.rate.judgments_per_task)


@_where_known
def redteam(project: Project, recipe: Recipe) -> StageCost:
    """Cost of the redteam stage: every share of liars is repeated with every seed."""
    if recipe.rate.source != "simulated":
        return StageCost(0.1, SMALL_STAGE_BYTES, 1000)
    repetitions = len(recipe.redteam.flip_shares) * recipe.redteam.seeds
    each = REPETITION_S + REDTEAM_S * _counts(project, recipe).judgments
    return StageCost(0.1 + repetitions * each, SMALL_STAGE_BYTES, SMALL_FILE_BYTES)


def report(_project: Project, _recipe: Recipe) -> StageCost:
    """Cost of the report stage."""
    return StageCost(REPORT_S, SMALL_STAGE_BYTES, SMALL_FILE_BYTES)


def _small(project: Project, recipe: Recipe, seconds: float, disk_bytes: float) -> StageCost:
    count = _counts(project, recipe).judgments
    return StageCost(0.1 + seconds * count, SMALL_STAGE_BYTES, round(disk_bytes * count))


def _stage_cost(found: Estimate) -> StageCost:
    return StageCost(found.seconds, found.peak_bytes, found.disk_bytes)


@functools.lru_cache(maxsize=4)
def _reader(settings: ModelSettings) -> LanguageModel:
    return load_reader(settings)


@functools.lru_cache(maxsize=4)
def _base(settings: ModelSettings) -> Base:
    """The base model with the speed of this machine, measured once."""
    use_threads(settings)
    decoder = _reader(settings).decoder
    speed = measure_machine(decoder.architecture, rank=settings.lora_rank, device=device_of(settings))
    return Base(decoder.architecture, decoder.branch_layer, settings.lora_rank, settings.train == "full", speed)


@functools.lru_cache(maxsize=4)
def _counts_of(project: Project, recipe_json: str) -> Counts:
    recipe = Recipe.model_validate_json(recipe_json)
    return _simulated(project, recipe) if recipe.rate.source == "simulated" else _stored(project, recipe)


def _counts(project: Project, recipe: Recipe) -> Counts:
    return _counts_of(project, recipe.model_dump_json())


def _simulated(project: Project, recipe: Recipe) -> Counts:
    prompts, settings = load_prompts(recipe, project), recipe.rate
    train = _lengths(recipe, [p for p in prompts if p.split == "train"])
    pairs = len(train) * min(settings.pairs_per_prompt, math.comb(recipe.sample.responses, 2))
    return Counts(
        train=train,
        heldout=_lengths(recipe, [p for p in prompts if p.split == "heldout"]),
        responses=len(train) * recipe.sample.responses,
        pairs=pairs,
        judgments=pairs * settings.judgments_per_task,
        width=recipe.sample.max_new_tokens,
    )


def _stored(project: Project, recipe: Recipe) -> Counts:
    with Store(project.root) as store:
        prompts = store.repository.prompts(recipe.rate.dataset)
        responses = store.repository.responses(recipe.rate.dataset)
        counted = next(found for found in store.repository.datasets() if found.name == recipe.rate.dataset)
    train = [p for p in prompts if p.split == "train"]
    share = len(train) / max(len(prompts), 1)
    longest = [len(_reader(recipe.model).encode(response.text)) + 1 for response in responses]
    return Counts(
        train=_lengths(recipe, train),
        heldout=_lengths(recipe, [p for p in prompts if p.split == "heldout"]),
        responses=round(share * len(responses)),
        pairs=round(share * counted.tasks),
        judgments=counted.judgments,
        width=max(longest, default=1),
    )


def _lengths(recipe: Recipe, prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """Lengths of the prompts that fit; a recipe without any counts as one short prompt, since it will be refused."""
    reader = _reader(recipe.model)
    found = [len(tokens) for prompt in prompts if (tokens := reader.prompt_tokens(prompt)) is not None]
    return tuple(found) or (1,)


def _lessons(project: Project, recipe: Recipe) -> tuple[list[int], list[int]]:
    """Lengths of prompts and responses of the demonstrations; with `preferred`, as many as there are pairs at most."""
    limit, most = recipe.sft.max_response_tokens, recipe.sft.max_demonstrations
    if recipe.demonstrations == "preferred":
        counts = _counts(project, recipe)
        count = min(counts.pairs, most or counts.pairs)
        prompts = [counts.train[i % len(counts.train)] for i in range(max(count, 1))]
        return prompts, [min(counts.width, limit)] * len(prompts)
    reader = _reader(recipe.model)
    demonstrations = load_demonstrations(recipe, project, {})[: most or None]
    fitting = [(tokens, d) for d in demonstrations if (tokens := reader.prompt_tokens(d.prompt)) is not None]
    responses = [len(reader.response_tokens(d.text, finished=True, limit=limit)) for _, d in fitting]
    return [len(tokens) for tokens, _ in fitting] or [1], responses or [1]
