"""Pieces of a text that may be code: fenced blocks, code in backticks, strings of JSON arguments, the whole text.

The original characters are looked at and not their normalised forms: it is those that a database or a shell would run.
Every search is linear; how many pieces are taken is bounded, and `Snippets.complete` says whether that was all.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Language = Literal["sql", "shell", "python", "javascript", "other"]

MAX_SNIPPETS = 200
"""Pieces of one text that are looked at."""

MAX_JSON = 1_000_000
"""Characters of JSON whose strings are looked at one by one."""

MAX_ARGV = 200
"""Words of a list that is read as a command line."""

TAGS: dict[str, Language] = {
    **dict.fromkeys(("sql", "mysql", "postgres", "postgresql", "psql", "sqlite", "plsql", "tsql", "mssql"), "sql"),
    **dict.fromkeys(("sh", "bash", "shell", "zsh", "console", "terminal", "shellsession", "dockerfile"), "shell"),
    **dict.fromkeys(("python", "py", "python3", "pycon", "ipython"), "python"),
    **dict.fromkeys(("javascript", "js", "node", "jsx", "mjs"), "javascript"),
}
"""Languages by the tag of a fence; any other tag is `other`, no tag is not known."""

KEYS: dict[str, Language] = {
    **dict.fromkeys(("sql", "sql_query", "statement", "query_sql"), "sql"),
    **dict.fromkeys(("command", "cmd", "shell", "bash", "shell_command", "argv", "commands"), "shell"),
    **dict.fromkeys(("python", "python_code"), "python"),
    **dict.fromkeys(("javascript", "js"), "javascript"),
}
"""Languages by the name of an argument in JSON."""


_LOOSE = str.maketrans("{}.,", "    ")


@dataclass(frozen=True)
class Snippet:
    """A piece that may be code, and where it stands.

    `language` None: nobody said. `exact`: character i of the piece is character `span[0] + i` of the original.
    """

    text: str
    span: tuple[int, int]
    language: Language | None = None
    exact: bool = True

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The span in the original of a part of this piece; the whole piece where it was escaped."""
        return (self.span[0] + start, self.span[0] + end) if self.exact else self.span


class Snippets(NamedTuple):
    """Pieces in the order of their beginnings; `complete` False where there were more."""

    found: tuple[Snippet, ...]
    complete: bool


def snippets(text: str) -> Snippets:
    """The pieces of a text; a text that is JSON gives its strings and lists of words instead of itself."""
    found: list[Snippet] = []
    for piece in _of_json(text) or _of_text(Snippet(text, (0, len(text)))):
        if len(found) == MAX_SNIPPETS:
            return Snippets(tuple(found), complete=False)
        found.append(piece)
    return Snippets(tuple(found), complete=True)


def _of_text(whole: Snippet) -> Iterator[Snippet]:
    """Fenced blocks and code in backticks of a piece, then the piece itself."""
    text, place = whole.text, 0
    for start, end, tag in fences(text):
        yield from _inline(whole, place, start)
        language = None if not tag else TAGS.get(tag, "other")
        yield Snippet(text[start:end], whole.place(start, end), language, whole.exact)
        place = end
    yield from _inline(whole, place, len(text))
    yield whole


def fences(text: str) -> Iterator[tuple[int, int, str]]:
    """Start and end of the content of each fenced block and its tag in lower case; an open one runs to the end."""
    if "```" not in text and "~~~" not in text:
        return
    place, opened = 0, ("", 0, "")
    for line in text.splitlines(keepends=True):
        head = line.lstrip(" \t>")
        mark = head[:1] * (len(head) - len(head.lstrip(head[:1]))) if head[:3] in ("```", "~~~") else ""
        fence, start, tag = opened
        if mark and not fence:
            words = head[len(mark) :].translate(_LOOSE).split(maxsplit=1)
            opened = (mark, place + len(line), words[0].lower() if words else "")
        elif mark.startswith(fence) and fence and not head[len(mark) :].strip():
            yield start, place, tag
            opened = ("", 0, "")
        place += len(line)
    if opened[0]:
        yield opened[1], len(text), opened[2]


def _inline(whole: Snippet, start: int, end: int) -> Iterator[Snippet]:
    """Code between single backticks that holds a space; a single word is no statement."""
    at = whole.text.find("`", start, end)
    while at >= 0:
        close = whole.text.find("`", at + 1, end)
        if close < 0:
            return
        if " " in whole.text[at + 1 : close].strip():
            yield Snippet(whole.text[at + 1 : close], whole.place(at + 1, close), None, whole.exact)
        at = whole.text.find("`", close + 1, end)


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with all its pairs: one that is written twice is not lost."""


def _of_json(text: str) -> Iterator[Snippet] | None:
    """The strings of a text that is an object or array of JSON, None where it is none."""
    if text.lstrip()[:1] not in ("{", "[") or len(text) > MAX_JSON:
        return None
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
        tokens = _tokens(text)
        return iter([piece for leaf in _leaves(value, None, tokens) for piece in _of_text(leaf)])
    except (ValueError, RecursionError):
        return None


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    """Where each string of valid JSON stands, without its quotes, in order."""
    at = text.find('"')
    while at >= 0:
        end = text.find('"', at + 1)
        while end >= 0 and _escaped(text, end):
            end = text.find('"', end + 1)
        yield at + 1, end
        at = text.find('"', end + 1)


def _escaped(text: str, at: int) -> bool:
    first = at
    while text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1


def _leaves(value: Any, key: str | None, tokens: Iterator[tuple[int, int]]) -> Iterator[Snippet]:
    if isinstance(value, str):
        span = next(tokens)
        yield Snippet(value, span, KEYS.get((key or "").lower()), exact=span[1] - span[0] == len(value))
    elif isinstance(value, _Pairs):
        for name, held in value:
            next(tokens)
            yield from _leaves(held, name, tokens)
    elif isinstance(value, list):
        leaves = [leaf for held in value for leaf in _leaves(held, key, tokens)]
        yield from leaves
        if 1 < len(leaves) == len(value) <= MAX_ARGV and all(isinstance(held, str) for held in value):
            yield _command_line(leaves)


def _command_line(words: list[Snippet]) -> Snippet:
    """The words of a list as one command: what a program gets that starts it without a shell."""
    line = shlex.join(word.text for word in words)
    return replace(words[0], text=line, span=(words[0].span[0], words[-1].span[1]), exact=False)
