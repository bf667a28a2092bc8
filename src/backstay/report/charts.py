"""The charts of the report, each a pure function from plain rows to an inline SVG."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from backstay.report.svg import (
    AFTER,
    BAD,
    BEFORE,
    EXTRA,
    GRID,
    LEAF,
    MUTED,
    PAPER,
    ROSE,
    SOFT,
    WARN,
    chart_style,
    new_chart,
    to_svg,
)
from backstay.report.wording import label

Row = Mapping[str, Any]
_SMALL = (3.6, 2.55)
_HALF = (5.35, 3.5)
_DASHED = (0, (4, 3))
_KIND_COLOURS = (AFTER, EXTRA, SOFT, WARN, BEFORE, LEAF)
_HOSTILE_COLOURS = (BAD, ROSE)
_HOSTILE_KINDS = ("flip", "lia", "collu", "poison", "spam", "advers")


def learning_chart(rows: Sequence[Row], name: str, lines: Sequence[tuple[str, str]], **marks: Any) -> Markup | None:
    """One or two columns of the metrics of training by update; None when none of them was measured.

    `lines` are (column, legend) pairs; `band` names a column drawn as plus and minus around the first line, `limit`
    is a (value, legend) pair drawn as a dashed line, `step` the column that counts (default: update).
    """
    drawn = [(column, text) for column, text in lines if any(row.get(column) is not None for row in rows)]
    if not drawn:
        return None
    step = marks.get("step", "update")
    with chart_style(name):
        figure, axes = new_chart(*_SMALL)
        for (column, text), (colour, style) in zip(drawn, ((AFTER, "-"), (BEFORE, (0, (4, 2)))), strict=False):
            _line(axes, rows, column, step=step, color=colour, linestyle=style, label=text)
        _band(axes, rows, drawn[0][0], marks.get("band"))
        _limit(axes, marks.get("limit"))
        axes.set_xlabel(step)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.margins(x=0.02)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="best", handlelength=1.6)
        return to_svg(figure, name)


def reliability_chart(bins: Sequence[Row]) -> Markup:
    """Confidence against accuracy, area by count, with bounds where the rows carry them."""
    name = "reliability"
    with chart_style(name):
        figure, axes = new_chart(*_HALF)
        axes.plot([0.5, 1.0], [0.5, 1.0], color=MUTED, linewidth=1.2, linestyle=_DASHED, label="perfectly calibrated")
        total = sum(row["count"] for row in bins)
        for row in bins:
            if row.get("low") is not None and row.get("high") is not None:
                axes.plot([row["confidence"]] * 2, [row["low"], row["high"]], color=AFTER, linewidth=1.4, alpha=0.55)
        axes.scatter(
            [row["confidence"] for row in bins],
            [row["accuracy"] for row in bins],
            s=[25 + 500 * row["count"] / total for row in bins],
            color=AFTER,
            edgecolor=PAPER,
            linewidth=1.2,
            zorder=3,
        )
        axes.set_xlim(0.48, 1.02)
        axes.set_ylim(min(0.4, *(row.get("low") or row["accuracy"] for row in bins)) - 0.03, 1.03)
        _percent_axes(axes)
        axes.legend(loc="lower right")
        axes.set_xlabel("the model's confidence in the answer it prefers")
        axes.set_ylabel("how often it is right")
        return to_svg(figure, name)


def member_chart(heldout: Row) -> Markup:
    """Accuracy of each ensemble member beside the ensemble's with its interval."""
    name = "members"
    members = [float(value) for value in heldout.get("member_accuracy", ())]
    with chart_style(name):
        figure, axes = new_chart(*_HALF)
        axes.axvline(0.5, color=MUTED, linewidth=1.2, linestyle=_DASHED)
        axes.annotate(
            "coin",
            (0.5, 1.0),
            (4, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            color=MUTED,
            fontsize=8.5,
        )
        names = ["ensemble", *(f"member {number}" for number in range(1, len(members) + 1))]
        _interval(axes, 0, heldout["low"], heldout["high"], AFTER)
        axes.scatter([heldout["accuracy"]], [0], s=80, color=AFTER, edgecolor=PAPER, zorder=3)
        axes.scatter(members, range(1, len(members) + 1), s=48, color=BEFORE, edgecolor=PAPER, zorder=3)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.7)
        axes.grid(visible=False, axis="y")
        low = min([0.5, heldout["accuracy"], *members, *([heldout["low"]] if heldout["low"] is not None else [])])
        axes.set_xlim(low - 0.03, 1.0)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axes.set_xlabel("accuracy on held-out pairs")
        return to_svg(figure, name)


def trust_chart(rows: Sequence[Row]) -> Markup:
    """One interval a rater, coloured by `kind` where the rows carry one; `name` is shown, cut to a line."""
    name = "trust"
    colours = kind_colours([str(row.get("kind") or "") for row in rows])
    with chart_style(name):
        figure, axes = new_chart(10.8, 0.9 + 0.235 * len(rows))
        axes.axvline(0.5, color=MUTED, linewidth=1.2, linestyle=_DASHED)
        for place, row in enumerate(rows):
            colour = colours[str(row.get("kind") or "")]
            _interval(axes, place, row["low"], row["high"], colour)
            axes.scatter([row["trust"]], [place], s=46, color=colour, edgecolor=PAPER, zorder=3)
        axes.set_yticks(range(len(rows)), [label(str(row["name"])) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axes.set_xlabel("estimated chance of agreeing with the truth on a clear pair, with 95 % interval; 50 % = coin")
        return to_svg(figure, name)


def kind_colours(kinds: Sequence[str]) -> dict[str, str]:
    """A colour for each kind of rater, reds for the hostile ones; colours repeat when there are more kinds."""
    known = sorted(set(kinds))
    hostile = [kind for kind in known if any(part in kind for part in _HOSTILE_KINDS)]
    colours = dict(zip(hostile, cycle(_HOSTILE_COLOURS), strict=False))
    return colours | dict(zip((kind for kind in known if kind not in colours), cycle(_KIND_COLOURS), strict=False))


def attack_chart(rows: Sequence[Row]) -> Markup:
    """Accuracy against the flipping share, an arm a line, a dot a seed."""
    name = "attack"
    arms = (("undefended", BAD, "majority of votes"), ("defended", AFTER, "trust-weighted and screened"))
    with chart_style(name):
        figure, axes = new_chart(*_HALF)
        axes.axhline(0.5, color=MUTED, linewidth=1.2, linestyle=_DASHED)
        for shift, (arm, colour, text) in zip((-0.004, 0.004), arms, strict=True):
            chosen = sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["share"])
            places = [row["share"] + shift for row in chosen]
            for place, row in zip(places, chosen, strict=True):
                if row["low"] is not None and row["high"] is not None:
                    axes.plot([place] * 2, [row["low"], row["high"]], color=colour, linewidth=1.6, alpha=0.5)
                seeds = row["seed_accuracies"]
                axes.scatter([place] * len(seeds), seeds, s=9, color=colour, alpha=0.5, linewidth=0)
            axes.plot(
                places,
                [row["accuracy"] for row in chosen],
                color=colour,
                marker="o",
                markersize=5.5,
                markeredgecolor=PAPER,
                label=text,
            )
        _percent_axes(axes)
        axes.set_xticks(sorted({row["share"] for row in rows}))
        axes.set_xlabel("raters who flip every judgment")
        axes.set_ylabel("accuracy on clean held-out pairs")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.6)
        return to_svg(figure, name)


def family_chart(families: Mapping[str, Row], measure: str) -> Markup | None:
    """Before and after a family, as two dots and the way between them; None when nothing was measured."""
    name = f"family-{measure}"
    rows = [(family, row["before"][measure], row["after"][measure]) for family, row in families.items()]
    rows = [row for row in rows if row[1] and row[2]]
    if not rows:
        return None
    with chart_style(name):
        figure, axes = new_chart(_HALF[0], 1.0 + 0.5 * len(rows))
        for place, (_, before, after) in enumerate(rows):
            axes.plot([before["mean"], after["mean"]], [place, place], color=GRID, linewidth=5, zorder=1)
            for side, colour, shift in ((before, BEFORE, -0.13), (after, AFTER, 0.13)):
                _interval(axes, place + shift, side["low"], side["high"], colour)
                axes.scatter([side["mean"]], [place + shift], s=46, color=colour, edgecolor=PAPER, zorder=3)
        axes.set_yticks(range(len(rows)), [label(family, 20) for family, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        if measure == "refused":
            axes.set_xlim(-0.03, 1.03)
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        return to_svg(figure, name)


def loss_chart(rows: Sequence[Row]) -> Markup:
    """The SFT loss by step."""
    with chart_style("sft"):
        figure, axes = new_chart(*_SMALL)
        _line(axes, rows, "loss", step="step", color=AFTER)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        return to_svg(figure, "sft")


def _line(axes: Axes, rows: Sequence[Row], column: str, step: str = "update", **style: Any) -> None:
    points = [(row[step], row[column]) for row in rows if row.get(column) is not None]
    marker = "o" if len(points) < 40 else ""
    axes.plot(*zip(*points, strict=True), marker=marker, markersize=3.2, markeredgewidth=0, **style)


def _band(axes: Axes, rows: Sequence[Row], column: str, spread: str | None) -> None:
    points = [(row["update"], row[column], row[spread]) for row in rows if spread and row.get(spread) is not None]
    points = [point for point in points if point[1] is not None]
    if points:
        low, high = [middle - width for _, middle, width in points], [middle + width for _, middle, width in points]
        axes.fill_between([x for x, _, _ in points], low, high, color=AFTER, alpha=0.13, linewidth=0)


def _limit(axes: Axes, limit: tuple[float, str] | None) -> None:
    if limit is not None:
        axes.axhline(limit[0], color=BAD, linewidth=1.2, linestyle=_DASHED, label=limit[1])


def _interval(axes: Axes, place: float, low: float | None, high: float | None, colour: str) -> None:
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=3.2, alpha=0.35, solid_capstyle="round")


def _percent_axes(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
