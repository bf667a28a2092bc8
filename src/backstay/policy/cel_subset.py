"""A parser for the part of CEL that can be decided; whatever else a condition holds is named and refused."""

import re
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""\s+|(?P<string>r?"[^"\n]*"|r?'[^'\n]*')|(?P<double>\d+\.\d+)|(?P<int>\d+)|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<op>&&|\|\||==|!=|<=|>=|[<>!?:+\-().,\[\]])"""
)
_RELATIONS = ("==", "!=", "<=", ">=", "<", ">", "in")
_CONSTANTS = {"true": True, "false": False, "null": None}


class NotAnalysable(ValueError):
    """A condition holds something that the analysis does not decide."""


class Node(NamedTuple):
    """One node: what it is, and its parts (nodes, or the value of a literal, or the words of a path)."""

    kind: str
    parts: tuple[Any, ...]


def parse_condition(text: str) -> Node:
    """Parse a condition; raises NotAnalysable."""
    parser = _Parser(_tokens(text))
    node = parser.ternary()
    if parser.kind != "end":
        raise NotAnalysable(f"{parser.word!r} is not analysed")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise NotAnalysable(f"{text[at]!r} is not analysed")
        at = found.end()
        if found.lastgroup == "string" and "\\" in found[0] and not found[0].startswith("r"):
            raise NotAnalysable("text with escapes is not analysed")
        if found.lastgroup:
            tokens.append((found.lastgroup, found[0]))
    return [*tokens, ("end", "")]


class _Parser:
    """Recursive descent; the C++ compiler has bounded depth before this sees a condition."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def word(self) -> str:
        return self._tokens[self._at][1]

    def take(self, *words: str) -> str | None:
        """The next token if it is one of these words (and no string)."""
        if self.kind in ("op", "name") and self.word in words:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def expect(self, word: str) -> None:
        if self.take(word) is None:
            raise NotAnalysable(f"{self.word!r} is not analysed here")

    def ternary(self) -> Node:
        test = self.either()
        if self.take("?") is None:
            return test
        yes = self.either()
        self.expect(":")
        return Node("if", (test, yes, self.ternary()))

    def either(self) -> Node:
        node = self.both()
        while self.take("||"):
            node = Node("||", (node, self.both()))
        return node

    def both(self) -> Node:
        node = self.relation()
        while self.take("&&"):
            node = Node("&&", (node, self.relation()))
        return node

    def relation(self) -> Node:
        node = self.sum()
        while operator := self.take(*_RELATIONS):
            node = Node(operator, (node, self.sum()))
        return node

    def sum(self) -> Node:
        node = self.unary()
        while operator := self.take("+", "-"):
            node = Node(operator, (node, self.unary()))
        return node

    def unary(self) -> Node:
        if self.take("!"):
            return Node("!", (self.unary(),))
        if self.take("-"):
            return Node("neg", (self.unary(),))
        return self.member()

    def member(self) -> Node:
        node = self.primary()
        while operator := self.take(".", "["):
            if operator == "[":
                key = self.ternary()
                self.expect("]")
                node = _field(node, key.parts[0] if key.kind == "literal" else None)
                continue
            name = self._tokens[self._at][1]
            self._at += 1
            node = Node("call", (name, node, *self.arguments())) if self.take("(") else _field(node, name)
        return node

    def arguments(self, end: str = ")") -> list[Node]:
        found: list[Node] = []
        while self.take(end) is None:
            if found:
                self.expect(",")
            found.append(self.ternary())
        return found

    def primary(self) -> Node:
        kind, word = self._tokens[self._at]
        self._at += kind != "end"
        if kind == "string":
            return Node("literal", (word.removeprefix("r")[1:-1],))
        if kind in ("int", "double"):
            return Node("literal", (int(word) if kind == "int" else float(word),))
        if kind == "name":
            if word in _CONSTANTS:
                return Node("literal", (_CONSTANTS[word],))
            return Node("call", (word, None, *self.arguments())) if self.take("(") else Node("path", (word,))
        if word == "(":
            node = self.ternary()
            self.expect(")")
            return node
        if word == "[":
            return Node("list", tuple(self.arguments("]")))
        raise NotAnalysable(f"{word!r} is not analysed")


def _field(node: Node, name: Any) -> Node:
    if node.kind != "path" or not isinstance(name, str):
        raise NotAnalysable("only fields of variables, and keys written as text, are analysed")
    return Node("path", (*node.parts, name))
