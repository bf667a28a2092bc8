"""Charts as SVG with attributes only: the pages' policy allows neither inline style nor script.

Every chart is made of numbers; the few texts are escaped. What a chart shows stands beside it in words or a table, so
the SVG is an image with a label.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 170
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 8, 22


def interval_bar(value: float, low: float, high: float, label: str, at: float | None = None) -> Markup:
    """A share between 0 and 1 as a dot on a bar that is its interval; `at` marks what chance would give."""
    x1, x2 = 100 * _within(low), 100 * _within(high)
    mark = "" if at is None else f'<line class="chance" x1="{100 * at:.1f}" x2="{100 * at:.1f}" y1="1" y2="13"/>'
    body = (
        f'<line class="axis" x1="0" x2="100" y1="7" y2="7"/>{mark}'
        f'<rect class="range" x="{x1:.1f}" y="4" width="{max(1.0, x2 - x1):.1f}" height="6" rx="3"/>'
        f'<circle class="dot" cx="{100 * _within(value):.1f}" cy="7" r="3.2"/>'
    )
    return _svg(body, "interval", 100, 14, label)


def share_bar(parts: Sequence[tuple[str, float]], label: str) -> Markup:
    """Shares of a whole, side by side; each part is a class of the style sheet and a share."""
    body, x = "", 0.0
    for name, share in parts:
        body += f'<rect class="{escape(name)}" x="{x:.2f}" y="0" width="{max(0.0, 100 * share):.2f}" height="10"/>'
        x += 100 * share
    return _svg(body, "shares", 100, 10, label, stretch=True)


def columns(values: Sequence[tuple[str, float]], label: str, unit: str = "") -> Markup:
    """A column for each value, with the first, the last and the highest named."""
    top = max((value for _, value in values), default=0.0)
    scale = nice_top(top)
    inner, body = WIDTH - LEFT - RIGHT, _grid(scale, unit)
    step = inner / max(1, len(values))
    for place, (name, value) in enumerate(values):
        height = (HEIGHT - TOP - BOTTOM) * value / scale
        x, width = LEFT + place * step + step * 0.12, max(1.0, step * 0.76)
        body += (
            f'<rect class="column" x="{x:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="{min(2.0, width / 3):.1f}"><title>{escape(name)}: {value:,.0f}{escape(unit)}'
            "</title></rect>"
        )
    return _svg(body + _ends([name for name, _ in values]), "chart", WIDTH, HEIGHT, label)


def band(points: Sequence[tuple[str, float, float, float]], label: str) -> Markup:
    """Shares over time, each with its interval, as a line in a band; a single one is a dot with a bar."""
    inner = WIDTH - LEFT - RIGHT
    at = [LEFT + (inner / 2 if len(points) == 1 else inner * n / (len(points) - 1)) for n in range(len(points))]
    body = _grid(1.0, "")
    if len(points) > 1:
        upper = " ".join(f"{x:.1f},{_y(point[3]):.1f}" for x, point in zip(at, points, strict=True))
        lower = " ".join(f"{x:.1f},{_y(point[2]):.1f}" for x, point in reversed(list(zip(at, points, strict=True))))
        line = " ".join(f"{x:.1f},{_y(point[1]):.1f}" for x, point in zip(at, points, strict=True))
        body += f'<polygon class="band" points="{upper} {lower}"/><polyline class="line" points="{line}"/>'
    for x, (name, value, low, high) in zip(at, points, strict=True):
        if len(points) == 1:
            body += f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(low):.1f}" y2="{_y(high):.1f}"/>'
        if len(points) <= 40:
            told = f"{escape(name)}: {value:.2f} ({low:.2f} to {high:.2f})"
            body += f'<circle class="dot" cx="{x:.1f}" cy="{_y(value):.1f}" r="3.5"><title>{told}</title></circle>'
    return _svg(body + _ends([point[0] for point in points]), "chart", WIDTH, HEIGHT, label)


def nice_top(value: float) -> float:
    """The next of 1, 2, 4, 5, 10, 20 ... that is not below `value`, so that half of it is easy to read."""
    size = 1.0
    while True:
        for step in (1.0, 2.0, 4.0, 5.0):
            if value <= step * size:
                return step * size
        size *= 10.0


def _grid(top: float, unit: str) -> str:
    body = ""
    for share in (0.0, 0.5, 1.0):
        y, number = _y(share), top * share
        told = f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
        body += (
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{told}{escape(unit)}</text>'
        )
    return body


def _ends(names: Sequence[str]) -> str:
    if not names:
        return ""
    first = f'<text class="tick" x="{LEFT}" y="{HEIGHT - 5}">{escape(names[0])}</text>'
    if len(names) == 1:
        return first
    return (
        first + f'<text class="tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{escape(names[-1])}</text>'
    )


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _within(share)


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))


def _svg(body: str, name: str, width: int, height: int, label: str, *, stretch: bool = False) -> Markup:
    ratio = ' preserveAspectRatio="none"' if stretch else ""
    return Markup(  # noqa: S704  numbers, our class names, and texts that were escaped above
        f'<svg class="{name}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'focusable="false"{ratio}>{body}</svg>'
    )
