r"""Rules that keep LaTeX as its source: Markdown would eat its backslashes and take its underscores for emphasis.

Delimiters: `$$...$$`, `\[...\]`, `\(...\)` and `$...$`. One dollar opens only before something that is no space,
and closes only after such and before no digit, so that "$5 and $6" stays money.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_ONE_DOLLAR = re.compile(r"\$(?=[^\s$\d])[^$\n]{0,500}?(?<=[^\s\\$])\$(?![\d$])")


def keep_mathematics(markdown: MarkdownIt) -> None:
    """Add both rules; the tokens are `maths_inline` and `maths_block`, their content the source with delimiters."""
    markdown.inline.ruler.before("escape", "maths", _inline)
    markdown.block.ruler.before("fence", "maths", _block, {"alt": ["paragraph", "blockquote", "list"]})


def _inline(state: StateInline, silent: bool) -> bool:
    end = _end_of(state)
    if end < 0:
        return False
    if not silent:
        state.push("maths_inline", "code", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _end_of(state: StateInline) -> int:
    """Where the mathematics that begins here ends; -1 where none begins.

    A closer that is missing once is missing for the rest of the paragraph: `env` holds that, so that a line of a
    thousand openers is searched once.
    """
    opener = state.src[state.pos : state.pos + 2]
    closer = _CLOSERS.get(opener)
    if closer is None:
        found = _ONE_DOLLAR.match(state.src, state.pos, state.posMax) if opener[:1] == "$" else None
        return found.end() if found else -1
    missing = state.env.setdefault("maths_missing", set())
    if (id(state), closer) in missing:
        return -1
    at = state.src.find(closer, state.pos + 2, state.posMax)
    if at < 0:
        missing.add((id(state), closer))
        return -1
    return at + 2 if at > state.pos + 2 else -1


def _block(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    if state.is_code_block(line):
        return False
    first = _line(state, line)
    closer = _CLOSERS.get(first[:2])
    if closer is None or first[:2] == "\\(" or closer in first[2:]:
        return False
    last = next((n for n in range(line + 1, end) if _line(state, n).endswith(closer)), None)
    if last is None or any(state.sCount[n] < state.blkIndent for n in range(line, last + 1)):
        return False
    if silent:
        return True
    state.line = last + 1
    token = state.push("maths_block", "pre", 0)
    token.content = state.getLines(line, last + 1, state.blkIndent, keepLastLF=False)
    token.map = [line, last + 1]
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
