import pytest
from pydantic import ValidationError

from backstay.guard.gateway.settings import checked
from backstay.guard.harvest import HarvestSettings


def test_nothing_is_kept_by_default() -> None:
    settings = checked({"guard": 1, "upstreams": {"m": {"base_url": "http://127.0.0.1:1/v1"}}}, "test")
    assert not settings.harvest.on


@pytest.mark.parametrize("given", [{"keep": ["denied"]}, {"sample": 0.5}])
def test_principals_must_be_named(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="only of principals that are named"):
        HarvestSettings.model_validate(given)
    assert HarvestSettings.model_validate(given | {"principals": ["*"]}).on


@pytest.mark.parametrize(
    "given", [{"keep": ["everything"]}, {"sample": 1.5}, {"keep_days": 0}, {"principals": ["no pattern"]}]
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HarvestSettings.model_validate({"principals": ["*"], **given})
