"""Danger in SQL, read by sqlglot's parser: writes, removals, privileges, files, waiting, what hides or does not parse.

docs/scan/danger.md describes kinds and limits.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar, Literal

from backstay.errors import ResourceError, UsageError
from backstay.scan.danger import Clock, Danger, DangerScanner
from backstay.scan.engine import CURE, compile_re2
from backstay.scan.snippets import Snippet
from backstay.scan.sql_truth import always_true
from backstay.scan.sql_words import BARE, FUNCTIONS, LOST_PAIRS, PAIRS, READS, VERBS

SCANNER = "sql_danger"
State = Literal["parsed", "failed", "too much"]
DIALECTS = ("postgres", "mysql", "tsql", "sqlite")
"""Dialects in which a text is read where none is stated."""

MAX_CHARACTERS = 20_000
MAX_TOKENS = 1_000
"""A longer text is split into words only as far as this, and is a finding."""

MAX_STATEMENTS = 50
MAX_INSIDE = 2
"""How deep statements are read that stand in strings of others."""

_AMBIGUOUS = ("\\", "#", "`", "[", "$", "/*", "--")
"""Signs that dialects read differently: what is text in one is a statement in another."""

_OTHER_HALF = {"update": " set ", "delete": "from ", "with": " as ", "set": "role", "use": ";"}
"""What a statement has besides its verb, where the verb is a word that often begins a sentence."""

_CLOSERS = ("'", '"', "*/", "`", "$$")
_LINE = (
    rb"(?im)(?:^|;)[ \t>$]*(?:(?:drop|alter|create)\s+(?:table|database|schema|user|role|view|index)\s|delete\s+from\s"
    rb"|truncate\s+(?:table\s)?|insert\s+into\s|update\s+\S+\s+set\s|grant\s[^\n]+\sto\s|copy\s+\S+\s+(?:to|from)\s)"
)


@cache
def _sqlglot() -> Any:
    try:
        import sqlglot  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ResourceError("scanning SQL needs sqlglot, which is not installed", cure=CURE) from error
    for dialect in DIALECTS:
        sqlglot.Dialect.get_or_raise(dialect)  # they are loaded when they are first asked for: not on a text's time
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its warnings quote the hostile text
    return sqlglot


def sql_dangers(text: str, *, dialect: str | None = None) -> tuple[Danger, ...]:
    """What is dangerous in statements of SQL; without a dialect, in any of four readings."""
    _sqlglot()
    clock = Clock(15 + 2 * len(text) / 1000)
    found, state = _in_dialect(text, dialect or DIALECTS[0], MAX_INSIDE, clock)
    parsed = state == "parsed"
    if dialect is None and (state == "failed" or (parsed and any(sign in text for sign in _AMBIGUOUS))):
        for other in DIALECTS[1:]:
            more, state = _in_dialect(text, other, MAX_INSIDE, clock)
            found, parsed = found | more, parsed or state == "parsed"
    for variant in _variants(text):
        more, _ = _in_dialect(variant, dialect or "mysql", 0, clock)
        found |= {danger for danger in more if danger.kind != "sql_unparsed"}
    if parsed:
        found = {danger for danger in found if danger.kind != "sql_unparsed"}
    return tuple(sorted(found))


def _variants(text: str) -> Iterator[str]:
    """The text as MySQL reads it where others see comments, of the same length."""
    if "/*!" in text or "/*M!" in text:
        opened = text.replace("/*M!", "/*! ")
        head, *pieces = opened.split("/*!")
        yield head + "".join("   " + _opened(piece) for piece in pieces)
    if "--" in text:
        yield "- ".join(_parted(text))


def _opened(piece: str) -> str:
    rest = piece.lstrip("0123456789")
    return " " * (len(piece) - len(rest)) + rest.replace("*/", "  ", 1)


def _parted(text: str) -> list[str]:
    """The text cut at each `--` that no space follows: in MySQL these are two signs and no comment."""
    pieces, last = text.split("--"), ""
    out: list[str] = []
    for number, piece in enumerate(pieces):
        if number and (not piece or piece[0].isspace()):
            out[-1] += "--" + piece
        else:
            out.append(("" if not number else last) + piece)
    return out


def _in_dialect(text: str, dialect: str, inside: int, clock: Clock) -> tuple[set[Danger], State]:
    """Dangers, and whether all of it parsed, or failed, or was too much for any dialect."""
    if len(text) > MAX_CHARACTERS:
        begin, _ = _in_dialect(text[:2000], dialect, 0, clock)
        return {*begin, _unparsed("more than is read", (0, len(text)))}, "too much"
    tokens = _tokens(text, dialect)
    if tokens is None:
        return {_unparsed("a quote or comment is not closed", (0, len(text)))}, "failed"
    statements = _statements(tokens[:MAX_TOKENS])
    if len(tokens) > MAX_TOKENS or len(statements) > MAX_STATEMENTS:
        lost = set[Danger]().union(*(set(_by_words(one, lost=True)) for one in statements))
        return lost | {_unparsed("more than is read", (0, len(text)))}, "too much"
    found = set[Danger]()
    state: State = "parsed"
    for statement in statements:
        more, one = _statement(text, statement, dialect, inside, clock)
        found, state = found | more, one if state == "parsed" else state
    if len(statements) > 1 and not _only_transaction(statements):
        found.add(Danger("sql_stacked", "medium", f"{len(statements)} statements", _span(tokens)))
    return found, state


def _only_transaction(statements: list[list[Any]]) -> bool:
    around = ("begin", "start", "commit", "rollback", "end")
    return sum(one[0].text.lower() not in around for one in statements) <= 1


def _tokens(text: str, dialect: str) -> list[Any] | None:
    """The tokens; what is not closed is closed, for a database may run what stands before it."""
    glot = _sqlglot()
    for closer in ("", *_CLOSERS):
        try:
            return list(glot.tokenize(text + closer, read=dialect))
        except (glot.errors.TokenError, RecursionError):
            continue
        except ValueError as error:
            raise UsageError(f"SQL dialect {dialect!r} is not known: {error}", cure="use one of sqlglot's") from error
    return None


def _statements(tokens: list[Any]) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    for token in tokens:
        if token.text == ";" and token.token_type.name == "SEMICOLON":
            found.append([])
        else:
            found[-1].append(token)
    return [one for one in found if one]


def _span(tokens: list[Any]) -> tuple[int, int]:
    return tokens[0].start, tokens[-1].end + 1


def _unparsed(said: str, span: tuple[int, int]) -> Danger:
    return Danger("sql_unparsed", "medium", said, span)


def _statement(text: str, tokens: list[Any], dialect: str, inside: int, clock: Clock) -> tuple[set[Danger], State]:
    glot, span = _sqlglot(), _span(tokens)
    found = set(_by_words(tokens, lost=False)) | set(_hidden(tokens))
    verb = tokens[0].text.lower()
    if inside and not clock.spent:
        for rest in _code_inside(tokens, verb):
            found |= {danger._replace(span=span) for danger in _in_dialect(rest, dialect, inside - 1, clock)[0]}
    if clock.spent:
        return found | {_unparsed("no time left", span)} | set(_by_words(tokens, lost=True)), "too much"
    try:
        for tree in glot.Dialect.get_or_raise(dialect).parser().parse(tokens, text):
            found |= set(_by_tree(tree, span))
    except RecursionError:
        return found | {_unparsed("too deep", span)} | set(_by_words(tokens, lost=True)), "too much"
    except (glot.errors.SqlglotError, ValueError, AttributeError, TypeError, KeyError, IndexError):
        return found | {_unparsed("does not parse", span)} | set(_by_words(tokens, lost=True)), "failed"
    if verb not in VERBS and verb not in READS and verb != "(":
        return found | {_unparsed("no statement", span)}, "failed"
    return found, "parsed"


def _code_inside(tokens: list[Any], verb: str) -> Iterator[str]:
    """Texts in a statement that are statements themselves: what is explained by running it, bodies, strings to run."""
    strings = [token.text for token in tokens[1:] if token.token_type.name in ("STRING", "HEREDOC_STRING")]
    if verb in ("explain", "describe", "desc") and len(tokens) > 1:
        rest = strings[0] if strings and len(tokens) == 2 else ""
        if rest.lower().lstrip("( ").startswith("analy"):
            yield rest.lstrip("( ").partition(")" if rest.startswith("(") else " ")[2]
    elif VERBS.get(verb, ("",))[0] == "sql_dynamic" or verb == "create":
        yield from (text.strip().strip("$'\"") for text in strings)


def _by_words(tokens: list[Any], *, lost: bool) -> Iterator[Danger]:
    """What single words and pairs of words say, whether the statement parses or not."""
    span, words = _span(tokens), [_word(token) for token in tokens]
    first = next((word for word in words if word not in ("", "(")), "")
    if first in VERBS:
        yield Danger(*VERBS[first], span)
    pairs = PAIRS | LOST_PAIRS if lost else PAIRS
    for left, right in pairwise(words):
        if (left, right) in pairs:
            yield Danger(*pairs[left, right], span)
    for token, word, after in zip(tokens, words, [*words[1:], ""], strict=True):
        name = word or (token.text.lower() if token.token_type.name == "IDENTIFIER" else "")
        if name in FUNCTIONS and (after == "(" or name in BARE):
            yield Danger(*FUNCTIONS[name], span)
    if lost and first in ("delete", "update") and "where" not in words:
        yield Danger("sql_destructive", "high", "all rows: there is no WHERE", span)
    if len(tokens) == 2 and first in VERBS and not words[1]:
        yield from _command_words(first, tokens[1].text, span)


def _command_words(first: str, rest: str, span: tuple[int, int]) -> Iterator[Danger]:
    """The words of a statement that the tokenizer took as one text."""
    words = [first, *rest.replace("(", " ( ").lower().split()[:200]]
    for left, right in pairwise(words):
        if (left, right) in PAIRS:
            yield Danger(*PAIRS[left, right], span)
    for word in words:
        if word.rpartition(".")[2] in FUNCTIONS:
            yield Danger(*FUNCTIONS[word.rpartition(".")[2]], span)


def _word(token: Any) -> str:
    """The word in lower case, "" for what is quoted."""
    return "" if token.token_type.name in ("STRING", "IDENTIFIER", "HEREDOC_STRING") else str(token.text).lower()


def _hidden(tokens: list[Any]) -> Iterator[Danger]:
    if any(comment.startswith(("!", "M!")) for token in tokens for comment in token.comments):
        yield Danger("sql_hidden", "high", "a comment that MySQL runs", _span(tokens))


def _by_tree(tree: Any, span: tuple[int, int]) -> Iterator[Danger]:
    from sqlglot import exp  # noqa: PLC0415 - an extra

    for node in tree.walk() if tree is not None else ():
        match node:
            case exp.Delete() | exp.Update():
                yield Danger(*VERBS["delete"], span)
                where = node.args.get("where")
                if where is None and node.args.get("limit") is None:
                    yield Danger("sql_destructive", "high", "all rows: there is no WHERE", span)
                elif where is not None and always_true(where):
                    yield Danger("sql_destructive", "high", "all rows: its WHERE always holds", span)
            case exp.Insert() | exp.Merge() | exp.Into():
                yield Danger(*VERBS["insert"], span)
            case exp.Drop() | exp.TruncateTable() | exp.Alter():
                yield Danger(*VERBS["drop"], span)
            case exp.Or() if isinstance(node.parent, exp.Where | exp.Paren | exp.And) and always_true(node):
                yield Danger("sql_tautology", "medium", "a condition that always holds beside others", span)


def _gate(piece: Snippet) -> Iterator[tuple[int, str]]:
    """Where a statement may begin in a piece of which nobody says what it is, and its text."""
    head = piece.text.lstrip(" \t\r\n(;")
    word = head[:20].partition("\n")[0].partition(" ")[0].lower().rstrip("*('\"")
    if word in _OTHER_HALF and _OTHER_HALF[word] not in head.lower():
        return
    if len(head) <= MAX_CHARACTERS and (word in VERBS or word in READS or head.startswith(("--", "/*"))):
        yield 0, piece.text
        return
    raw = piece.text.encode("ascii", "replace")
    for _, match in zip(range(10), compile_re2(_LINE).finditer(raw), strict=False):
        end = raw.find(b"\n\n", match.start())
        start = match.start() + len(match.group()) - len(match.group().lstrip(b"; \t>$"))
        yield start, piece.text[start : len(raw) if end < 0 else end][:MAX_CHARACTERS]


@dataclass(frozen=True)
class SqlDanger(DangerScanner):
    """Finds danger in SQL; `assume` where the text is known to be SQL, as the argument of a database tool."""

    dialect: str | None = None
    deadline_ms: float = 200.0
    name: str = SCANNER
    language: ClassVar[str] = "sql"

    def look(self, piece: Snippet) -> Iterator[Danger]:
        """What is dangerous in one piece."""
        if not piece.text.strip():
            return
        stated = self.assume or piece.language is not None
        for start, text in [(0, piece.text)] if stated else _gate(piece):
            for danger in sql_dangers(text, dialect=self.dialect):
                yield danger._replace(span=(start + danger.span[0], start + min(danger.span[1], len(text))))
