"""Where a decision is asked for, and which names and name patterns a rule may use."""

import re
from typing import Literal, get_args

Point = Literal[
    "request.input",
    "request.tools",
    "model.output",
    "model.tool_call",
    "tool.result",
    "response.final",
    "retrieval",
    "feedback",
]
POINTS: tuple[Point, ...] = get_args(Point)
TOOL_POINT: Point = "model.tool_call"
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]{1,200}")
_GLOB = re.compile(r"[A-Za-z0-9_.:/@+*?-]{1,200}")


def is_plain_name(name: object) -> bool:
    """Whether a tool or action is named in plain ASCII, so that no other name looks like it."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def is_glob(pattern: str) -> bool:
    """Whether a pattern holds plain characters, `*` and `?` only."""
    return _GLOB.fullmatch(pattern) is not None


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern stands for more than one name."""
    return "*" in pattern or "?" in pattern


def glob_matches(pattern: str, name: str) -> bool:
    """Match `*` (any run of characters) and `?` (one character) in time pattern x name."""
    at, star, resume, i = 0, -1, 0, 0
    while i < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, resume, at = at, i, at + 1
        elif at < len(pattern) and pattern[at] in ("?", name[i]):
            at, i = at + 1, i + 1
        elif star >= 0:
            resume += 1
            at, i = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def glob_covers(wider: str, narrower: str) -> bool:
    """Whether every name of `narrower` is surely one of `wider`; False where that is not plain to see."""
    return wider in ("*", narrower) or (not has_wildcard(narrower) and glob_matches(wider, narrower))
