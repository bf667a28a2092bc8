"""What changed between two texts, word by word or line by line (E. W. Myers, 1986, An O(ND) difference algorithm).

The work is bounded: texts that differ more than `MOST_STEPS` allows are shown as removed and added as a whole.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

MOST_STEPS = 700
"""Insertions and deletions that are looked for; the work grows with their square."""

LEAST_SAME = 0.25
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
Kind = Literal["same", "gone", "new"]


class Piece(NamedTuple):
    """A stretch of text: in both texts, only in the old one, or only in the new one."""

    kind: Kind
    text: str


def word_changes(old: str, new: str) -> list[Piece]:
    """The change from `old` to `new` by words, spaces and signs; the pieces but `new` join to `old`, and so on.

    Where less than a quarter of the words stays, the whole text is gone and the whole other one new: bits that are the
    same by chance would only be in the way of reading.
    """
    pieces = _joined(_with_spaces(_pieces(_WORDS.findall(old), _WORDS.findall(new))))
    kept = sum(len(piece.text.split()) for piece in pieces if piece.kind == "same")
    if kept < LEAST_SAME * max(len(old.split()), len(new.split())):
        return _joined([("gone", old), ("new", new)])
    return pieces


def line_changes(old: str, new: str) -> list[Piece]:
    """The change by lines, each with its line end."""
    return _pieces(old.splitlines(keepends=True), new.splitlines(keepends=True))


def _pieces(old: Sequence[str], new: Sequence[str]) -> list[Piece]:
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    middle = _changes(old[head : len(old) - tail], new[head : len(new) - tail])
    steps: list[tuple[Kind, str]] = [("same", text) for text in old[:head]]
    steps += middle
    steps += [("same", text) for text in old[len(old) - tail :]]
    return _joined(steps)


def _with_spaces(pieces: Sequence[Piece]) -> list[tuple[Kind, str]]:
    """Space between two changes belongs to both, so that changed words in a row read as one change."""
    found: list[tuple[Kind, str]] = []
    for place, piece in enumerate(pieces):
        is_between = 0 < place < len(pieces) - 1
        if piece.kind == "same" and is_between and piece.text.isspace():
            found += [("gone", piece.text), ("new", piece.text)]
        else:
            found.append(piece)
    return found


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many texts both begin with."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _changes(old: Sequence[str], new: Sequence[str]) -> list[tuple[Kind, str]]:
    trace = _furthest(old, new)
    if trace is None:
        return [("gone", text) for text in old] + [("new", text) for text in new]
    return _walked_back(old, new, trace)


def _furthest(old: Sequence[str], new: Sequence[str]) -> list[dict[int, int]] | None:
    """For each number of steps, how far into `old` each diagonal comes; None where it takes too many."""
    reach, trace = {1: 0}, []
    for steps in range(min(len(old) + len(new), MOST_STEPS) + 1):
        trace.append(dict(reach))
        for diagonal in range(-steps, steps + 1, 2):
            at = _start(reach, diagonal, steps)
            while at < len(old) and at - diagonal < len(new) and old[at] == new[at - diagonal]:
                at += 1
            reach[diagonal] = at
            if at >= len(old) and at - diagonal >= len(new):
                return trace
    return None


def _start(reach: dict[int, int], diagonal: int, steps: int) -> int:
    down = diagonal == -steps or (diagonal != steps and reach[diagonal - 1] < reach[diagonal + 1])
    return reach[diagonal + 1] if down else reach[diagonal - 1] + 1


def _walked_back(old: Sequence[str], new: Sequence[str], trace: list[dict[int, int]]) -> list[tuple[Kind, str]]:
    at, to = len(old), len(new)
    found: list[tuple[Kind, str]] = []
    for steps in range(len(trace) - 1, -1, -1):
        reach, diagonal = trace[steps], at - to
        down = diagonal == -steps or (diagonal != steps and reach[diagonal - 1] < reach[diagonal + 1])
        before = reach[diagonal + 1 if down else diagonal - 1]
        before_to = before - (diagonal + 1 if down else diagonal - 1)
        while at > max(before, 0) and to > max(before_to, 0):
            at, to = at - 1, to - 1
            found.append(("same", old[at]))
        if steps:
            found.append(("new", new[before_to]) if down else ("gone", old[before]))
        at, to = before, before_to
    return found[::-1]


def _joined(steps: Sequence[tuple[Kind, str]]) -> list[Piece]:
    """Neighbours of one kind as one piece; within a change, what is gone stands before what is new."""
    found: list[Piece] = []
    gone, new = "", ""
    for kind, text in [*steps, ("same", "")]:
        if kind == "gone":
            gone += text
        elif kind == "new":
            new += text
        else:
            found += [Piece("gone", gone)] * bool(gone) + [Piece("new", new)] * bool(new)
            gone = new = ""
            if text and found and found[-1].kind == "same":
                found[-1] = Piece("same", found[-1].text + text)
            elif text:
                found.append(Piece("same", text))
    return found
