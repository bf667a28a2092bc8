"""Shows an execution: a live board on a terminal, one line an event in a log, one JSON object a line for programs."""

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from backstay.pipeline.events import Event, Observer

CLOCK_WIDTH = 7
SHOWN_ROWS = 8
SHOWN_COLUMNS = 8
NUMBER_WIDTH = 9
WATCHED = ("update", "step", "member", "gold_mean", "reward_mean", "kl_nats", "loss", "accuracy")
METRICS_LINE_EVERY_S = 1.0
MARKS = {
    "planned": "[dim]·[/]",
    "reused": "[cyan]=[/]",
    "finished": "[green]✓[/]",
    "failed": "[red]✗[/]",
}


@contextmanager
def watch(console: Console, *, as_json: bool = False) -> Iterator[Observer]:
    """An observer that fits where the output goes: JSON lines, a live board, or plain lines."""
    if as_json:
        yield JsonLines(console.file)
    elif console.is_terminal:
        board = Board()
        with Live(board, console=console, refresh_per_second=8, transient=False):
            yield board.observe
    else:
        yield PlainLines(console)


class JsonLines:
    """One JSON object a line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __call__(self, event: Event) -> None:
        """Write the event."""
        self._file.write(json.dumps(event.payload()) + "\n")
        self._file.flush()


class PlainLines:
    """One line an event; metrics at most once a second, so that a log stays readable."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_metrics_s = float("-inf")

    def __call__(self, event: Event) -> None:
        """Print the event."""
        if event.kind == "metrics":
            now = time.monotonic()
            if now - self._last_metrics_s < METRICS_LINE_EVERY_S:
                return
            self._last_metrics_s = now
        self._console.print(sentence(event), markup=False, highlight=False, soft_wrap=True)


@dataclass
class _Row:
    mark: str = "planned"
    note: str = ""
    since_s: float = 0.0
    seconds: float | None = None


@dataclass
class Board:
    """The stages with their states, and the last metrics of the one that runs; rendered anew on every refresh."""

    rows: dict[str, _Row] = field(default_factory=dict)
    metrics: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=SHOWN_ROWS))
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="yellow"))

    def observe(self, event: Event) -> None:
        """Take in an event."""
        if event.kind == "planned":
            self.rows = {name: _Row() for name in event.data["stages"]}
        elif event.kind == "metrics":
            self.metrics.append(event.data)
        elif event.stage:
            self._observe_stage(self.rows.setdefault(event.stage, _Row()), event)

    def _observe_stage(self, row: _Row, event: Event) -> None:
        if event.kind == "said":
            row.note = event.text
            return
        row.mark = event.kind
        if event.kind in ("started", "resumed"):
            row.since_s = time.monotonic()
            row.note = event.text if event.kind == "started" else f"going on from the last checkpoint: {event.text}"
            self.metrics.clear()
        elif event.kind == "finished":
            row.seconds, row.note = event.seconds, brief(event.data)
        elif event.kind == "reused":
            row.note = f"reused {event.run}"
        elif event.kind == "failed":
            row.note = event.text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The board as it stands."""
        board = Table.grid(padding=(0, 1), expand=True)
        widths = (1, max(map(len, self.rows), default=1), CLOCK_WIDTH, None)
        for width in widths:  # Only the note gives way on a narrow terminal.
            board.add_column(width=width, ratio=None if width else 1, overflow="ellipsis", no_wrap=True)
        for name, row in self.rows.items():
            running = row.mark in ("started", "resumed")
            seconds = time.monotonic() - row.since_s if running else row.seconds
            mark = self.spinner if running else Text.from_markup(MARKS.get(row.mark, " "))
            name_text = Text(name, style="bold" if running else "dim" if row.mark == "planned" else "")
            clock = "" if seconds is None else f"{seconds:.0f} s"
            board.add_row(mark, name_text, Text(clock, style="dim"), Text(row.note))
        yield board
        if self.metrics:
            yield metrics_table(self.metrics, options.max_width)


def metrics_table(rows: deque[dict[str, Any]], width: int) -> Table:
    """The last rows of metrics.jsonl: the figures that people watch first, then others, as many as the width holds."""
    present = [name for name, value in rows[-1].items() if _is_number(value)]
    ordered = [name for name in WATCHED if name in present] + [name for name in present if name not in WATCHED]
    ends = itertools.accumulate(max(len(name), NUMBER_WIDTH) + 2 for name in ordered)
    names = [name for name, end in zip(ordered, ends, strict=True) if end <= width][:SHOWN_COLUMNS]
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in names:
        table.add_column(escape(name), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(number(row.get(name)) for name in names))
    return table


def sentence(event: Event) -> str:
    """An event as one line of plain text."""
    if event.kind == "planned":
        return f"stages: {' '.join(event.data['stages'])}"
    seconds = 0.0 if event.seconds is None else event.seconds
    lines = {
        "reused": f"{event.stage}: reused {event.run}",
        "started": f"{event.stage}: {event.text} ({event.run})",
        "resumed": f"{event.stage}: going on from the last checkpoint ({event.run})",
        "finished": f"{event.stage}: done in {seconds:.1f} s {brief(event.data)}".rstrip(),
        "failed": f"{event.stage}: stopped",
        "said": f"{event.stage}: {event.text}",
        "metrics": f"{event.stage}: {brief(event.data)}",
    }
    return lines[event.kind]


def brief(values: dict[str, Any]) -> str:
    """The numbers and short texts of a summary or metrics row as `name=value`."""
    shown = {key: value for key, value in values.items() if _is_number(value) or isinstance(value, str | bool)}
    return " ".join(f"{key}={number(value)}" for key, value in list(shown.items())[:SHOWN_COLUMNS])


def number(value: Any) -> str:
    """A figure with four significant digits; counts in full."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
