"""The stages of the loop and the edges between them."""

from collections.abc import Collection
from dataclasses import replace

from backstay.pipeline.graph import Graph, resolve_graph
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import Stage, at_or_below

TORCH = ("numpy", "torch", "tokenizers", "safetensors")
LEARN = at_or_below("learn")
EVALUATE = at_or_below("evaluate")
POLICIES = ("ppo", "dpo")
"""Stages that train a policy over the sft policy; a loop needs one of them."""


def uses_dataset(recipe: Recipe) -> bool:
    """Whether judgments come from an import instead of from sampled responses."""
    return recipe.rate.source == "dataset"


def _sft_needs(recipe: Recipe) -> tuple[str, ...]:
    return ("rate", "screen") if recipe.demonstrations == "preferred" else ()


def _sample_needs(recipe: Recipe) -> tuple[str, ...]:
    return ("sft",) if recipe.sample.policy == "sft" else ()


def _rate_needs(recipe: Recipe) -> tuple[str, ...]:
    return () if uses_dataset(recipe) else ("sample",)


def _reward_needs(recipe: Recipe) -> tuple[str, ...]:
    settings = recipe.reward
    judged = settings.split == "raters" or settings.rankings or settings.cost_members > 0
    return ("rate", "aggregate", "screen", "sft") if judged else ("rate", "screen", "sft")


def _ppo_needs(recipe: Recipe) -> tuple[str, ...]:
    demonstrations = ("screen",) if recipe.ppo.ptx_coefficient and recipe.demonstrations == "preferred" else ()
    return ("rate", *demonstrations, "sft", "reward")


def _report_needs(recipe: Recipe) -> tuple[str, ...]:
    others = ("sft", "rate", "aggregate", "screen", "reward", recipe.evaluate.policy, "evaluate", "redteam")
    return others if uses_dataset(recipe) else ("sample", *others)


STAGES = (
    Stage(
        name="sft",
        purpose="teach the base model the form of a good answer",
        run="backstay.pipeline.stages.sft:run",
        cost="backstay.pipeline.stages.cost:sft",
        sections=("model", "prompts", "demonstrations", "sft"),
        needs=_sft_needs,
        packages=LEARN,
        libraries=TORCH,
        extra_inputs="backstay.pipeline.digests:text_inputs",
    ),
    Stage(
        name="sample",
        purpose="let the model answer every prompt several times",
        run="backstay.pipeline.stages.sample:run",
        cost="backstay.pipeline.stages.cost:sample",
        sections=("model", "prompts", "sample"),
        needs=_sample_needs,
        packages=LEARN,
        libraries=TORCH,
        extra_inputs="backstay.pipeline.digests:sample_inputs",
    ),
    Stage(
        name="rate",
        purpose="collect judgments: simulated raters, or a data set that was imported",
        run="backstay.pipeline.stages.rate:run",
        cost="backstay.pipeline.stages.cost:rate",
        sections=("prompts", "rate"),
        needs=_rate_needs,
        packages=at_or_below("feedback"),
        libraries=("numpy", "pydantic"),
        extra_inputs="backstay.pipeline.stages.rate:extra_inputs",
    ),
    Stage(
        name="aggregate",
        purpose="turn judgments into pairs with a probability, and raters into trust",
        run="backstay.pipeline.stages.aggregate:run",
        cost="backstay.pipeline.stages.cost:aggregate",
        sections=("aggregate",),
        needs=lambda _: ("rate",),
        packages=at_or_below("aggregate"),
        libraries=("numpy", "scipy", "numba"),
        extra_inputs="backstay.pipeline.stages.aggregate:extra_inputs",
    ),
    Stage(
        name="screen",
        purpose="decide which pairs a model may learn from",
        run="backstay.pipeline.stages.screen:run",
        cost="backstay.pipeline.stages.cost:screen",
        sections=("screen",),
        needs=lambda _: ("rate", "aggregate"),
        packages=at_or_below("screen"),
        libraries=("numpy",),
        extra_inputs="backstay.pipeline.stages.screen:extra_inputs",
    ),
    Stage(
        name="reward",
        purpose="learn what people prefer, and how sure that is",
        run="backstay.pipeline.stages.reward:run",
        cost="backstay.pipeline.stages.cost:reward",
        sections=("model", "sample", "reward"),
        needs=_reward_needs,
        packages=EVALUATE,
        libraries=(*TORCH, "scipy"),
    ),
    Stage(
        name="ppo",
        purpose="improve the policy against the reward without drifting",
        run="backstay.pipeline.stages.ppo:run",
        cost="backstay.pipeline.stages.cost:ppo",
        sections=("model", "ppo"),
        needs=_ppo_needs,
        packages=LEARN,
        libraries=TORCH,
        extra_inputs="backstay.pipeline.digests:reward_inputs",
    ),
    Stage(
        name="dpo",
        purpose="improve the policy on the pairs themselves, without a reward model",
        run="backstay.pipeline.stages.dpo:run",
        cost="backstay.pipeline.stages.cost:dpo",
        sections=("model", "dpo"),
        needs=lambda _: ("rate", "screen", "sft"),
        packages=LEARN,
        libraries=TORCH,
    ),
    Stage(
        name="evaluate",
        purpose="compare before and after on held-out prompts",
        run="backstay.pipeline.stages.evaluate:run",
        cost="backstay.pipeline.stages.cost:evaluate",
        sections=("model", "prompts", "evaluate"),
        needs=lambda recipe: ("rate", "sft", "reward", recipe.evaluate.policy),
        packages=EVALUATE,
        libraries=TORCH,
        extra_inputs="backstay.pipeline.digests:prompt_inputs",
    ),
    Stage(
        name="redteam",
        purpose="attack the pipeline and measure what holds",
        run="backstay.pipeline.stages.redteam:run",
        cost="backstay.pipeline.stages.cost:redteam",
        sections=("model", "rate", "aggregate", "screen", "reward", "redteam"),
        needs=lambda _: ("rate", "screen", "sft", "reward"),
        packages=at_or_below("redteam"),
        libraries=TORCH,
    ),
    Stage(
        name="report",
        purpose="write report.html",
        run="backstay.pipeline.stages.report:run",
        cost="backstay.pipeline.stages.cost:report",
        sections=("name", "prompts", "model", "rate", "ppo", "dpo", "evaluate", "report"),
        needs=_report_needs,
        packages=at_or_below("report"),
        libraries=("matplotlib",),
    ),
)
"""Every stage, in the order that breaks ties."""


def loop_graph(recipe: Recipe, *named: str | None) -> Graph:
    """The stage graph of a recipe: everything that the report needs, and the report.

    Of the stages that train a policy that is the one of `evaluate.policy`, and any that is `named` besides.
    """
    return resolve_graph(recipe, STAGES, ("report", *(name for name in named if name in POLICIES)))


def partial_report_graph(recipe: Recipe, done: Collection[str]) -> Graph:
    """The same graph with a report that takes only the stages that are done, for a loop that is under way."""
    needs = tuple(name for name in _report_needs(recipe) if name in done)
    stages = [replace(stage, needs=lambda _: needs) if stage.name == "report" else stage for stage in STAGES]
    return resolve_graph(recipe, stages, ("report",))
