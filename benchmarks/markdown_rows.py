"""Figures as Markdown."""

from typing import Any

Found = dict[str, Any]


def rows(*lines: tuple[str, ...]) -> str:
    """A Markdown table; the first line is its head."""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def interval(row: Found, digits: int = 3) -> str:
    """0.123 (0.1 to 0.2)."""
    return f"{row['mean']:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
