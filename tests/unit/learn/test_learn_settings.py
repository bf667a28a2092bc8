import subprocess
import sys
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from backstay.learn import ModelSettings, PpoSettings, RewardSettings, SampleSettings, SftSettings


def test_every_setting_is_documented() -> None:
    for settings in (ModelSettings, SampleSettings, SftSettings, RewardSettings, PpoSettings):
        assert [name for name, field in settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes": 10, "minibatches": 3}, r"episodes \(10\) must be a multiple of minibatches \(3\)"),
        ({"kl_target": 9.0, "kl_budget": 8.0}, r"kl_target \(9\.0\) lies above kl_budget \(8\.0\)"),
        ({"episodes": 10, "minibatches": 2, "group": 4}, r"episodes \(10\) must be a multiple of group \(4\)"),
        ({"algorithm": "rloo"}, "rloo compares responses to the same prompt: set group to 2 or more"),
        ({"algorithm": "grpo", "group": 1}, "grpo compares responses"),
        ({"dual_clip": 1.0}, r"dual_clip \(1\.0\) must be above 1, or 0 for none"),
        ({"dual_clip": 0.5}, "dual_clip"),
        ({"multiplier_initial": 6.0}, r"multiplier_initial \(6\.0\) lies above multiplier_max \(5\.0\)"),
        ({"algorithm": "a2c"}, "algorithm"),
        ({"max_failed_share": 1.1}, "max_failed_share"),
        ({"alarm_patience": 0}, "alarm_patience"),
        ({"learning_rte": 1.0}, "learning_rte"),
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"gamma": 1.5}, "less than or equal to 1"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"clip": float("inf")}, "clip"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PpoSettings(**settings)


def test_one_fold_of_cross_validation_is_refused() -> None:
    with pytest.raises(ValidationError, match="folds is 1, but one fold leaves nothing to train on"):
        RewardSettings(folds=1)
    assert [RewardSettings(folds=folds).folds for folds in (0, 2)] == [0, 2]


def test_without_a_budget_any_target_goes() -> None:
    assert PpoSettings(kl_budget=0.0, kl_target=99.0).kl_target == 99.0


def test_algorithms_that_compare_with_the_round_need_no_group() -> None:
    assert PpoSettings(algorithm="ppo").group == PpoSettings(algorithm="reinforce++").group == 1


def test_the_settings_and_the_registry_name_the_same_algorithms() -> None:
    from backstay.learn.rl.algorithms import ALGORITHMS  # the settings themselves import no torch

    assert tuple(ALGORITHMS) == get_args(PpoSettings.model_fields["algorithm"].annotation)


def test_the_settings_need_no_torch() -> None:
    code = "import sys, backstay.learn; sys.exit(bool({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
