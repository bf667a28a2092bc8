"""Parsers of Markdown that stop: what nests too deep or takes too many steps is refused, never cut."""

from typing import Any

from markdown_it.parser_block import ParserBlock
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

STEPS_PER_CHARACTER = 12
"""Steps that a text may take for each of its characters; prose takes about one."""
DEEPEST = 24
"""Levels of quotes and lists; the parser counts two for a list and its item."""


class TooMuchWork(Exception):
    """The text would take more steps or levels than it may."""


class Steps:
    """What is left of a text's budget."""

    def __init__(self, text: str) -> None:
        self.left = STEPS_PER_CHARACTER * len(text) + 1000

    def take(self) -> None:
        """Count a step; raises TooMuchWork when none are left."""
        self.left -= 1
        if self.left < 0:
            raise TooMuchWork("it is tangled so that reading it as Markdown would take too long")


class BoundedInline(ParserInline):
    """Counts every token that is looked ahead over: that is where brackets and emphasis become quadratic."""

    def skipToken(self, state: StateInline) -> None:
        """As the parser's own, counted."""
        state.env["steps"].take()
        super().skipToken(state)


class BoundedBlock(ParserBlock):
    """Refuses what nests too deep, which the parser's own would drop without a word."""

    def tokenize(self, state: StateBlock, startLine: int, endLine: int) -> None:
        """As the parser's own, counted."""
        state.env["steps"].take()
        if state.level >= DEEPEST:
            raise TooMuchWork("its quotes or lists are nested too deep")
        super().tokenize(state, startLine, endLine)


def environment(text: str) -> dict[str, Any]:
    """What one reading of a text carries along."""
    return {"steps": Steps(text)}
