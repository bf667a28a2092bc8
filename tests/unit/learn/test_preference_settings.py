from typing import Any

import pytest
from pydantic import ValidationError

from backstay.learn import DpoSettings


def test_defaults_are_plain_dpo() -> None:
    found = DpoSettings()
    assert (found.loss, found.label_smoothing, found.margin) == ("dpo", 0.0, 0.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"loss": "robust"}, "loss robust needs label_smoothing"),
        ({"loss": "cdpo"}, "loss cdpo needs label_smoothing"),
        ({"loss": "dpo", "label_smoothing": 0.1}, "is for cdpo and robust; loss is dpo"),
        ({"loss": "robust", "label_smoothing": 0.5}, "less than 0.5"),
        ({"loss": "ipo", "margin": 1.0}, "is for dpo, cdpo and robust; loss is ipo"),
        ({"loss": "kto", "margin": 1.0}, "loss is kto"),
        ({"kl_every": 0}, "needs kl_every above 0"),
        ({"loss": "simpo"}, "'dpo', 'ipo', 'cdpo', 'robust' or 'kto'"),
        ({"beta": 0.0}, "greater than 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DpoSettings.model_validate(given)


def test_the_watch_on_kl_can_be_off() -> None:
    assert DpoSettings(kl_every=0, kl_budget=0.0).kl_every == 0
