"""Danger in Python code, read by Python's own parser: what it runs, loads, sends and removes; nothing is executed.

docs/scan/danger.md describes kinds and limits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from backstay.scan.danger import Danger, DangerScanner, Nested
from backstay.scan.engine import compile_re2
from backstay.scan.python_code import read_python
from backstay.scan.shell_danger import shell_dangers
from backstay.scan.snippets import Snippet
from backstay.scan.sql_danger import sql_dangers

SCANNER = "code_danger"
_SIGNAL = (
    rb"\b(?:exec|eval|compile|__import__|getattr|open)\s*\(|\bimport\s+\w|os\.(?:system|popen|exec|spawn)|subprocess"
    rb"|pickle|marshal|yaml\.|torch\.load|__(?:subclasses|globals|builtins)__|rmtree"
)


def python_dangers(text: str) -> tuple[Danger, ...]:
    """What is dangerous in a Python script, and in the commands and statements that it holds as fixed texts."""
    read = read_python(text)
    found, nested = set(read.dangers), Nested(text, depth=2)
    for language, inner, span in read.commands:
        deeper = nested.takes(inner)
        if deeper is None:
            found.add(Danger("code_unparsed", "medium", "scripts in scripts, more than is read", span))
            continue
        dangers = shell_dangers(inner, nested=deeper) if language == "shell" else sql_dangers(inner)
        found |= {danger._replace(span=span) for danger in dangers}
    return tuple(sorted(found))


@cache
def _signal() -> Any:
    return compile_re2(_SIGNAL)


@dataclass(frozen=True)
class CodeDanger(DangerScanner):
    """Finds danger in Python; `assume` where the text is known to be Python, as the argument of an interpreter tool."""

    name: str = SCANNER
    language: ClassVar[str] = "python"

    def look(self, piece: Snippet) -> Iterator[Danger]:
        """What is dangerous in one piece."""
        stated = self.assume or piece.language is not None
        if stated or _signal().search(piece.text.encode("ascii", "replace")) is not None:
            plain = _without_prompts(piece.text)
            for danger in python_dangers(plain):
                yield danger if plain == piece.text else danger._replace(span=(0, len(piece.text)))


def _without_prompts(text: str) -> str:
    """The code of a copied session of the interpreter, without what it printed."""
    if not text.startswith(">>> "):
        return text
    return "".join(line[4:] for line in text.splitlines(keepends=True) if line.startswith((">>> ", "... ")))
