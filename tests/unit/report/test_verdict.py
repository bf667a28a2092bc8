import copy
from typing import Any

import pytest

from backstay.report import ReportData
from backstay.report.tiles import Tile, tiles
from backstay.report.verdict import verdict, what_went_in


def _with(data: ReportData, **changes: Any) -> ReportData:
    """The data with parts of evaluation['difference'] replaced."""
    evaluation = copy.deepcopy(data.evaluation)
    assert evaluation is not None
    for name, row in changes.items():
        evaluation["difference"][name] = row
    return data.model_copy(update={"evaluation": evaluation})


def _change(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "excludes_zero": low > 0 or high < 0}


QUIET = {name: _change(0.0, -0.1, 0.1) for name in ("refusal", "over_refusal", "flattery", "finished")}


@pytest.mark.parametrize(
    ("change", "tone", "said"),
    [
        (_change(0.2, 0.1, 0.3), "good", "got better"),
        (_change(-0.2, -0.3, -0.1), "bad", "got worse"),
        (_change(0.2, -0.1, 0.5), "mixed", "No clear change"),
    ],
)
def test_the_gold_interval_decides(report_data: ReportData, change: dict[str, Any], tone: str, said: str) -> None:
    found = verdict(_with(report_data, gold=change, **QUIET))
    assert found.tone == tone
    assert said in found.headline
    assert found.worries == ()


def test_a_gain_with_less_refusal_is_mixed(report_data: ReportData) -> None:
    changes = {**QUIET, "refusal": _change(-0.3, -0.4, -0.2), "gold": _change(0.2, 0.1, 0.3)}
    found = verdict(_with(report_data, **changes))
    assert found.tone == "mixed"
    assert "refuses harmful requests less often" in found.worries[0]


def test_each_side_effect_is_named(report_data: ReportData) -> None:
    worse = {name: _change(0.3, 0.2, 0.4) for name in ("over_refusal", "flattery")}
    meta = report_data.meta.model_copy(update={"kl_budget_nats": 1.0})
    data = _with(report_data, refusal=None, finished=_change(-0.3, -0.4, -0.2), **worse).model_copy(
        update={"meta": meta}
    )
    text = " ".join(verdict(data).worries)
    for part in ("harmless requests more often", "flatters more", "come to an end", "beyond the budget of 1.0"):
        assert part in text


def test_reward_alone_never_makes_a_good_verdict(report_data: ReportData) -> None:
    data = _with(report_data, gold=None, reward=_change(3.0, 2.0, 4.0), **QUIET)
    assert data.evaluation is not None
    data.evaluation["gold_rule"] = False
    data.evaluation["note"] = "no gold rule: no evidence of quality"
    found = verdict(data)
    assert found.tone == "unknown"
    assert "No verdict on quality" in found.headline
    assert "no evidence of quality" in found.sentences[0]


def test_without_evaluation_nothing_is_claimed(report_data: ReportData) -> None:
    assert verdict(report_data.model_copy(update={"evaluation": None})).tone == "unknown"


def test_what_went_in_counts_simulated_raters(report_data: ReportData) -> None:
    assert "24 raters (all simulated)" in what_went_in(report_data)
    real = tuple({**rater, "simulated": False} for rater in report_data.raters[:2])
    assert what_went_in(report_data.model_copy(update={"raters": real + report_data.raters[2:3]})).endswith(
        "3 raters (1 simulated)"
    )


def _tile(data: ReportData, part: str) -> Tile:
    return next(tile for tile in tiles(data) if part in tile.label)


def test_tiles_judge_in_the_wanted_direction(report_data: ReportData) -> None:
    up = _change(0.3, 0.2, 0.4)
    data = _with(report_data, refusal=up, over_refusal=up, reward=up)
    assert (_tile(data, "harmful").tone, _tile(data, "harmful").judgment) == ("good", "better")
    assert (_tile(data, "harmless").tone, _tile(data, "harmless").judgment) == ("bad", "worse")
    assert (_tile(data, "trained on").tone, _tile(data, "trained on").judgment) == ("plain", "changed")
    assert _tile(data, "harmful").change == "+30 points (+20 to +40)"


def test_tiles_of_what_was_not_measured_are_left_out(report_data: ReportData) -> None:
    labels = [tile.label for tile in tiles(_with(report_data, flattery=None))]
    assert "Sides with wrong opinions" not in labels
    assert tiles(report_data.model_copy(update={"evaluation": None, "reward": None})) == []


def test_bars_stay_on_their_scale(report_data: ReportData) -> None:
    for tile in tiles(report_data):
        for bar in tile.bars:
            assert 0.0 <= bar.low <= bar.mean <= bar.high <= 100.0
