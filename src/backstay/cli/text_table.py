"""Tables for a terminal: columns side by side, long cells folded; nothing in a cell can steer the terminal."""

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

GAP = "  "
LEAST = 6
"""Columns are not made narrower than this, even where the table then is wider than the terminal."""


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, width: int) -> tuple[str, list[str]]:
    """The line of the heads and the lines of the body; columns of numbers are right-aligned.

    A column gets as much room as its longest cell; where that is too much for the width, the widest ones give.
    """
    body = list(rows)
    right = [bool(body) and all(isinstance(row[k], int | float) for row in body) for k in range(len(columns))]
    table = [[_plain(cell) for cell in row] for row in (columns, *body)]
    widths = _fitted([max(_room(line) for row in table for line in row[k]) for k in range(len(columns))], width)
    head, *lines = [line for row in table for line in _lines(row, widths, right)]
    return head, lines


def _plain(cell: Any) -> list[str]:
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    return ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in text.splitlines()] or [""]


def _room(text: str) -> int:
    """Places that a text takes in a line: wide characters take two, marks none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _fitted(wanted: list[int], width: int) -> list[int]:
    widths, left = list(wanted), width - len(GAP) * (len(wanted) - 1)
    while sum(widths) > left and max(widths) > LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _lines(row: list[list[str]], widths: list[int], right: list[bool]) -> list[str]:
    cells = [[part for line in cell for part in _folded(line, room)] for cell, room in zip(row, widths, strict=True)]
    return [
        GAP.join(_placed(part, room, r) for part, room, r in zip(parts, widths, right, strict=True)).rstrip()
        for parts in zip_longest(*cells, fillvalue="")
    ]


def _folded(line: str, room: int) -> list[str]:
    # Folding counts characters: a line with wide ones gets half as many.
    characters = room if _room(line) <= max(room, len(line)) else max(1, room // 2)
    return [line] if _room(line) <= room else textwrap.wrap(line, characters) or [""]


def _placed(text: str, room: int, right: bool) -> str:
    space = " " * (room - _room(text))
    return space + text if right else text + space
