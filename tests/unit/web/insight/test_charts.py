"""Charts are drawn to scale, escape their texts, and need neither style nor script."""

import re
from xml.etree import ElementTree as ET

import pytest

from backstay.web.insight import charts

HOSTILE = '"><script>alert(1)</script>'


def shapes(svg: str, name: str) -> list[dict[str, str]]:
    return [dict(found.attrib) for found in ET.fromstring(svg).iter() if found.tag == name]  # noqa: S314  our own charts


def test_an_interval_stands_where_its_numbers_are() -> None:
    svg = charts.interval_bar(0.6, 0.4, 0.9, "Trust", 0.5)
    (bar,) = shapes(svg, "rect")
    assert (float(bar["x"]), float(bar["width"])) == (40.0, 50.0)
    assert float(shapes(svg, "circle")[0]["cx"]) == 60.0
    assert [line["x1"] for line in shapes(svg, "line") if line["class"] == "chance"] == ["50.0"]


def test_columns_are_as_high_as_their_values() -> None:
    columns = shapes(charts.columns([("a", 10), ("b", 40), ("c", 0)], "Days"), "rect")
    heights = [float(column["height"]) for column in columns]
    full = charts.HEIGHT - charts.TOP - charts.BOTTOM
    assert heights == pytest.approx([full * 10 / 40, full, 0.0], abs=0.06)
    assert all(
        float(c["y"]) + float(c["height"]) == pytest.approx(charts.HEIGHT - charts.BOTTOM, abs=0.11) for c in columns
    )


@pytest.mark.parametrize(("value", "top"), [(0.0, 1.0), (1.0, 1.0), (3.0, 4.0), (41.0, 50.0), (101.0, 200.0)])
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.nice_top(value) == top


def test_a_band_holds_its_line() -> None:
    svg = charts.band([("x", 0.5, 0.4, 0.6), ("y", 0.7, 0.6, 0.8)], "Trust")
    (band,), (line,) = shapes(svg, "polygon"), shapes(svg, "polyline")
    upper = [float(point.split(",")[1]) for point in band["points"].split()[:2]]
    middle = [float(point.split(",")[1]) for point in line["points"].split()]
    assert all(a < b for a, b in zip(upper, middle, strict=True))
    assert shapes(charts.band([("x", 0.5, 0.4, 0.6)], "Trust"), "polyline") == []


@pytest.mark.parametrize(
    "svg",
    [
        charts.interval_bar(0.5, 0.1, 0.9, HOSTILE),
        charts.columns([(HOSTILE, 1.0)], HOSTILE, HOSTILE),
        charts.band([(HOSTILE, 0.5, 0.4, 0.6), (HOSTILE, 0.5, 0.4, 0.6)], HOSTILE),
        charts.share_bar([(HOSTILE, 0.5)], HOSTILE),
    ],
)
def test_texts_stay_texts(svg: str) -> None:
    assert ET.fromstring(svg).tag == "svg"  # noqa: S314  our own charts
    assert "<script" not in svg
    assert not re.search(r"\bstyle=|\bon\w+=", svg)
