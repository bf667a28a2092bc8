"""The recipe: everything that decides a run, as one frozen model."""

import json
from typing import Any, Self

import yaml
from pydantic import ValidationError, model_validator

from backstay.aggregate.settings import AggregateSettings
from backstay.evaluate.settings import EvaluateSettings
from backstay.feedback.settings import RateSettings
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.preference_settings import DpoSettings
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.settings import ModelSettings, SampleSettings, SftSettings
from backstay.pipeline.recipe_layers import Layers
from backstay.pipeline.recipe_problems import explain
from backstay.pipeline.tracking_settings import TrackingSettings
from backstay.records import Settings
from backstay.redteam.settings import RedteamSettings
from backstay.report.settings import ReportSettings
from backstay.screen.settings import ScreenSettings


class Recipe(Settings):
    """What `backstay.yaml` resolves to."""

    name: str = "backstay"
    """A name for people; it decides nothing."""
    prompts: str = "demo"
    """`demo` (prompts of our own writing) or the path of a jsonl file of prompts, relative to the project folder."""
    demonstrations: str = "demo"
    """What SFT imitates: `demo`, the path of a jsonl file, or `preferred` (preferred responses of accepted pairs)."""
    model: ModelSettings = ModelSettings()
    """The base model."""
    sft: SftSettings = SftSettings()
    """Supervised fine-tuning."""
    sample: SampleSettings = SampleSettings()
    """Responses for raters."""
    rate: RateSettings = RateSettings()
    """Judgments: simulated, or a data set that was imported."""
    aggregate: AggregateSettings = AggregateSettings()
    """Judgments to pairs, trust per rater."""
    screen: ScreenSettings = ScreenSettings()
    """Which pairs a model may learn from."""
    reward: RewardSettings = RewardSettings()
    """The reward ensemble."""
    ppo: PpoSettings = PpoSettings()
    """Policy optimisation."""
    dpo: DpoSettings = DpoSettings()
    """Offline preference optimisation; the loop runs it in place of ppo with `evaluate.policy: dpo`."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """Before against after on held-out prompts."""
    redteam: RedteamSettings = RedteamSettings()
    """Attacks on the pipeline."""
    report: ReportSettings = ReportSettings()
    """What report.html shows."""
    tracking: TrackingSettings = TrackingSettings()
    """Where else metrics are shown; it decides nothing."""

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.ppo.cost_threshold is not None and not self.reward.cost_members:
            raise ValueError("ppo.cost_threshold needs a cost model: set reward.cost_members to 1 or more")
        if self.ppo.held_out_members >= self.reward.members:
            raise ValueError(
                f"ppo.held_out_members ({self.ppo.held_out_members}) leaves none of reward.members "
                f"({self.reward.members}) to train on"
            )
        return self

    def part(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The named sections as plain data, the form that is hashed."""
        dumped = self.model_dump(mode="json")
        return {name: dumped[name] for name in names}

    def to_yaml(self) -> str:
        """The resolved recipe as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def resolve_recipe(layers: Layers) -> Recipe:
    """Validate layered data; raises RecipeError with every problem named by key, place and value."""
    try:
        # JSON in strict mode: lists become tuples and integers floats, nothing else changes its type.
        return Recipe.model_validate_json(json.dumps(layers.data), strict=True)
    except ValidationError as error:
        raise explain(error, Recipe, layers) from None
