"""Quotes and escapes of the shell: what a piece of a word is without them, and which of them hide something."""

from collections.abc import Iterator
from typing import Any

from backstay.scan.shell_prefixes import Word

_QUOTED = ("raw_string", "string", "ansi_c_string")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def text_of(node: Any, source: bytes) -> str:
    """The text of a node; its own property would ask the reader of the source again."""
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def with_trick(word: Word, trick: str) -> Word:
    """The word with one more trick."""
    return word._replace(tricks=word.tricks | {trick})


def is_cut(node: Any, source: bytes) -> bool:
    """Whether quotes stand between letters of what would be one word without them."""
    kinds = [child.type for child in node.named_children]
    fixed = [text_of(child, source) for child in node.named_children if child.type in _QUOTED and _is_fixed(child)]
    short = any(len(text) <= 5 and text.strip("$'\"").isalnum() for text in fixed)
    return ("word" in kinds and short) or any(text in ("''", '""') for text in fixed)


def _is_fixed(node: Any) -> bool:
    return all(child.type == "string_content" for child in node.named_children)


def printed(name: str, words: list[str]) -> str:
    """What `echo` or `printf` prints of fixed words."""
    if name == "printf":
        words = words[1:] if len(words) > 1 and "%" in words[0] else words
        return " ".join(words).replace("\\n", "\n")
    while words and words[0] in ("-n", "-e", "-E", "-ne", "-en"):
        words = words[1:]
    return " ".join(words)


def split_word(word: Word) -> Iterator[Word]:
    """The words that an unquoted variable falls apart into."""
    falls = word.tricks & {"ifs", "variable", "output"} and "whole" not in word.tricks
    parts = word.text.split() if falls else []
    return (word._replace(text=part) for part in parts or [word.text])


def unescaped(text: str) -> str:
    """A bare word without its backslashes."""
    if "\\" not in text:
        return text
    pieces = text.split("\\")
    out, place = [pieces[0]], 1
    while place < len(pieces):
        piece = pieces[place]
        if not piece and place + 1 < len(pieces):
            out.append("\\" + pieces[place + 1])
            place += 2
            continue
        out.append(piece.removeprefix("\n"))
        place += 1
    return "".join(out)


def unquoted(text: str) -> str:
    """A text in double quotes without its escapes."""
    return text.replace('\\"', '"').replace("\\$", "$").replace("\\`", "`").replace("\\\\", "\\").replace("\\\n", "")


def ansi_text(text: str) -> Word:
    """The value of $'...', in which letters may be numbers."""
    out: list[str] = []
    place, hidden = 0, False
    while place < len(text):
        if text[place] != "\\" or place + 1 == len(text):
            out.append(text[place])
            place += 1
            continue
        char, length = _ansi_escape(text, place + 1)
        hidden = hidden or (length > 1 and char.isalnum())
        out.append(char)
        place += 1 + length
    return Word("".join(out), frozenset({"numbers"} if hidden else ()))


def _ansi_escape(text: str, place: int) -> tuple[str, int]:
    """The character of an escape and how many characters stand for it behind the backslash."""
    kind = text[place]
    digits, base, first = {"x": (2, 16, 1), "u": (4, 16, 1), "U": (8, 16, 1)}.get(kind, (3, 8, 0))
    number = ""
    for char in text[place + first : place + first + digits]:
        if char not in "0123456789abcdefABCDEF"[: 8 if base == 8 else None]:
            break
        number += char
    if number and int(number, base) < 0x110000:
        return chr(int(number, base)), first + len(number)
    return _ESCAPES.get(kind, kind), 1
