"""From a matplotlib figure to an inline SVG that follows the page: its colours, its font, its ids."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

INK, MUTED, GRID, PAPER = "#10110f", "#6c6d6a", "#dcddda", "#fefefd"
BEFORE, AFTER, WARN, BAD, EXTRA, SOFT = "#8a8d93", "#0d6e6d", "#b7791e", "#b3261f", "#4459a8", "#7d4e8a"
LEAF, ROSE = "#6b7f2b", "#c2477e"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--card",
    BEFORE: "--before",
    AFTER: "--after",
    WARN: "--warn",
    BAD: "--bad",
    EXTRA: "--extra",
    SOFT: "--soft",
    LEAF: "--leaf",
    ROSE: "--rose",
}
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
}


@contextmanager
def chart_style(name: str) -> Iterator[None]:
    """Our look inside the block, whatever matplotlib is configured to; `name` salts the ids."""
    with mpl.rc_context(), warnings.catch_warnings():
        # Names may hold letters that the measuring font lacks; the reader's own font draws them.
        warnings.filterwarnings("ignore", message="Glyph")
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})
        yield


def new_chart(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of one plot, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def to_svg(figure: Figure, name: str) -> Markup:
    """The figure as an SVG element; `name` keeps its ids apart from those of other charts on the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    # The style element applies to the whole page once it is inline; report.css says the same of charts only.
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<defs>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'^<svg[^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', svg)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return Markup(_with_page_colours(_with_own_ids(svg, name)))  # noqa: S704  # matplotlib escapes every text in it


def page_colour(colour: str) -> str:
    """The CSS value that stands for one of our chart colours on the page."""
    return f"var({_VARIABLES[colour]})"


def _with_own_ids(svg: str, name: str) -> str:
    used = set(re.findall(r'(?:url\(#|xlink:href="#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{name}-\1"', svg)


def _with_page_colours(svg: str) -> str:
    for colour, variable in _VARIABLES.items():
        svg = re.sub(rf"(?<=[: ]){colour}(?=[;\"])", f"var({variable})", svg)
    return svg
