"""Settings of the rate stage and the pools of the red team."""

import pytest
from pydantic import ValidationError

from backstay.errors import UsageError
from backstay.feedback import PoolSettings, RateSettings, with_liars


def test_the_default_pool_has_24_raters_of_whom_7_lie() -> None:
    pool = RateSettings().pool
    assert pool.size == 24
    assert pool.flipping + pool.colluding == 7
    assert pool.counts()["length-loving"] == 2


@pytest.mark.parametrize(("share", "liars"), [(0.0, 0), (0.1, 2), (0.2, 5), (0.3, 7), (0.4, 10), (1.0, 24)])
def test_liars_take_their_share_of_an_unchanged_pool(share: float, liars: int) -> None:
    pool = with_liars(RateSettings(), share).pool
    assert (pool.size, pool.flipping, pool.colluding) == (24, liars, 0)


def test_honest_kinds_keep_their_proportions() -> None:
    # 17 honest raters (7, 4, 2, 2, 1, 1) scaled to 24: 9.88, 5.65, 2.82, 2.82, 1.41, 1.41
    pool = with_liars(RateSettings(), 0.0).pool
    assert list(pool.model_dump().values()) == [10, 6, 3, 3, 1, 1, 0, 0]


def test_other_settings_are_kept() -> None:
    settings = RateSettings(seed=9, gold_share=0.2)
    assert with_liars(settings, 0.2).model_dump(exclude={"pool"}) == settings.model_dump(exclude={"pool"})


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="must lie in"):
        with_liars(RateSettings(), share)


def test_a_pool_of_liars_cannot_be_scaled() -> None:
    only_liars = PoolSettings(**dict.fromkeys(PoolSettings().model_dump(), 0) | {"flipping": 6})
    with pytest.raises(UsageError, match="no honest rater"):
        with_liars(RateSettings(pool=only_liars), 0.5)


def test_settings_that_do_not_fit_fail_at_once() -> None:
    with pytest.raises(ValidationError, match=r"rate\.dataset is empty"):
        RateSettings(source="dataset")
    with pytest.raises(ValidationError, match="the pool has 24 raters"):
        RateSettings(judgments_per_task=25)
    assert RateSettings(source="dataset", dataset="hh", judgments_per_task=25).dataset == "hh"


def test_every_field_is_described() -> None:
    for model in (RateSettings, PoolSettings):
        assert all(field.description for field in model.model_fields.values())
