import subprocess
import sys

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
        ({"learning_rte": 1.0}, "learning_rte"),
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"gamma": 1.5}, "less than or equal to 1"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"clip": float("inf")}, "clip"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PpoSettings(**settings)


def test_without_a_budget_any_target_goes() -> None:
    assert PpoSettings(kl_budget=0.0, kl_target=99.0).kl_target == 99.0


def test_the_settings_need_no_torch() -> None:
    code = "import sys, backstay.learn; sys.exit(bool({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
