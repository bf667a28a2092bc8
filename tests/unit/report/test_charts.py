import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from markupsafe import Markup

from backstay.report import ReportData, charts
from backstay.report.svg import AFTER, BAD, chart_style, new_chart, page_colour, to_svg

MEMBERS = {"accuracy": 0.7, "low": 0.6, "high": 0.8, "member_accuracy": [0.7, 0.6]}


def _trust(data: ReportData) -> list[dict[str, Any]]:
    return [{**row, "name": row["rater_id"], "kind": "careful"} for row in data.trust]


ALL: dict[str, Callable[[ReportData], Markup | None]] = {
    "gold": lambda data: charts.learning_chart(data.ppo, "gold", [("gold_mean", "gold")]),
    "reward": lambda data: charts.learning_chart(data.ppo, "r", [("reward_mean", "a")], band="reward_spread"),
    "kl": lambda data: charts.learning_chart(data.ppo, "kl", [("kl_nats", "KL")], limit=(8.0, "budget")),
    "bins": lambda data: charts.reliability_chart((data.reward or {})["heldout"]["bins"]),
    "members": lambda _: charts.member_chart(MEMBERS),
    "trust": lambda data: charts.trust_chart(_trust(data)),
    "attack": lambda data: charts.attack_chart((data.redteam or {})["label_flip"]["rows"]),
    "family": lambda data: charts.family_chart((data.evaluation or {})["families"], "gold"),
    "loss": lambda data: charts.loss_chart(data.sft),
}


@pytest.mark.parametrize("name", list(ALL))
def test_charts_are_wellformed_deterministic_and_follow_the_page(name: str, report_data: ReportData) -> None:
    svg = ALL[name](report_data)
    assert svg is not None
    ET.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314  # our own output
    assert ALL[name](report_data) == svg
    assert "var(--" in svg
    assert AFTER not in svg
    assert not re.search(r"https?:|<metadata|<script|@import", svg)


def test_ids_of_two_charts_never_meet(report_data: ReportData) -> None:
    seen: set[str] = set()
    for make in ALL.values():
        ids = re.findall(r' id="([^"]+)"', make(report_data) or "")
        assert not seen & set(ids)
        seen |= set(ids)


def test_every_reference_has_its_target(report_data: ReportData) -> None:
    svg = str(ALL["trust"](report_data))
    targets = set(re.findall(r' id="([^"]+)"', svg))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) <= targets


def test_a_column_that_was_not_measured_makes_no_chart() -> None:
    assert charts.learning_chart([{"update": 1, "gold_mean": None}], "gold", [("gold_mean", "gold")]) is None


def test_gaps_in_a_column_are_left_out() -> None:
    rows: list[dict[str, Any]] = [
        {"update": 1, "kl_nats": 0.5},
        {"update": 2, "kl_nats": None},
        {"update": 3, "kl_nats": 0.7},
    ]
    assert charts.learning_chart(rows, "kl", [("kl_nats", "KL")]) is not None


def test_bins_without_bounds_are_drawn() -> None:
    assert charts.reliability_chart([{"confidence": 0.6, "accuracy": 0.7, "count": 3}])


def test_hostile_kinds_are_red_and_others_are_not() -> None:
    colours = charts.kind_colours(["careful", "flipping", "noisy", "careful"])
    assert colours["flipping"] == BAD
    assert len({*colours.values()}) == 3
    assert page_colour(BAD) == "var(--bad)"


def test_the_users_matplotlib_settings_neither_matter_nor_change(report_data: ReportData) -> None:
    before = ALL["gold"](report_data)
    with mpl.rc_context({"axes.facecolor": "red", "svg.fonttype": "path"}):
        assert ALL["gold"](report_data) == before
        assert mpl.rcParams["axes.facecolor"] == "red"


def test_names_are_text_and_never_formulas_or_markup() -> None:
    with chart_style("names"):
        figure, axes = new_chart(3, 2)
        axes.set_yticks([0, 1], ["$\\frac{", '</text><script>alert("x")</script>'])
        svg = to_svg(figure, "names")
    assert "<script" not in svg
    assert "$\\frac{" in svg
