"""Strict JSON, and the place in its text of a fault or of a value."""

import json
import math
import re
from typing import Any

from backstay.feedback.importing.problems import Path, RowProblem

MAX_DEPTH = 200
_MAX_DIGITS = 4000
_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|-?[A-Za-z0-9.+-]+', re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """Strict JSON: no duplicate keys, no NaN, no number beyond a double, no bottomless nesting; raises RowProblem."""
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded
        )
    except json.JSONDecodeError as error:
        raise RowProblem(f"not valid JSON: {error.msg}", offset=error.pos) from error
    except RecursionError as error:
        raise RowProblem("JSON is nested too deeply", offset=fault_offset(text)) from error
    except ValueError as error:
        raise RowProblem(f"not valid JSON: {error}", offset=fault_offset(text)) from error


def fault_offset(text: str) -> int:
    """Where text first breaks the rules that come on top of JSON's grammar; 0 when nowhere."""
    keys: list[set[str] | None] = []
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word in "{[":
            keys.append(set() if word == "{" else None)
            if len(keys) > MAX_DEPTH:
                return token.start()
        elif word in "}]":
            keys[-1:] = []
        elif word[0] == '"' and keys and keys[-1] is not None and text[_skip(text, token.end())] == ":":
            name = _key(text, token.start())[0]
            if name in keys[-1]:
                return token.start()
            keys[-1].add(name)
        elif word in ("NaN", "Infinity", "-Infinity") or _too_large(word):
            return token.start()
    return 0


def offset_of(text: str, path: Path) -> int:
    """Where the value at `path` begins in sound JSON text; of a key that is missing, where its object begins."""
    offset = _skip(text, 0)
    for step in path:
        found = _child(text, offset, step)
        if found is None:
            return offset
        offset = found
    return offset


def _child(text: str, offset: int, step: str | int) -> int | None:
    if text[offset] not in "{[":
        return None
    decoder, named, number = json.JSONDecoder(), text[offset] == "{", 0
    offset = _skip(text, offset + 1)
    while text[offset] not in "}]":
        key: str | int = number
        if named:
            key, offset = _key(text, offset)
            offset = _skip(text, _skip(text, offset) + 1)
        if key == step:
            return offset
        offset = _skip(text, decoder.raw_decode(text, offset)[1])
        offset = _skip(text, offset + 1) if text[offset] == "," else offset
        number += 1
    return None


def _key(text: str, offset: int) -> tuple[str, int]:
    """The key that begins at a quote, and where it ends."""
    key, end = json.JSONDecoder().raw_decode(text, offset)
    return str(key), end


def _skip(text: str, offset: int) -> int:
    """The next place that is no white space; the last place at the end."""
    found = _SPACE.match(text, offset)
    end = offset if found is None else found.end()
    return min(end, len(text) - 1)


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        before = len(text[: error.start].decode())
        raise RowProblem(f"not valid UTF-8 at byte {error.start}", offset=before) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _too_large(word: str) -> bool:
    if word[0] not in "-0123456789":
        return False
    if len(word) > _MAX_DIGITS:
        return True
    try:
        return not math.isfinite(float(word))
    except ValueError:
        return False
