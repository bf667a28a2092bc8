"""What an approver is shown: all that is hashed, as JSON in which nothing hides, and what an edit changed.

The JSON part parses back to exactly what the digest is of: a character that could mislead stands as its JSON escape.
"""

import itertools
import json
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from backstay.guard.approvals.approval import Approval
from backstay.scan.folding import form, hidden_kind

_LATIN = (0xC0, 0x17F)
_FROM_THE_RIGHT = frozenset({"R", "AL", "AN"})


def rendered(approval: Approval, previous: Approval | None = None) -> bytes:
    """The exact bytes to show, never cut short. With the approval that it supersedes, also what changed."""
    lines = [f"digest {approval.digest}", shown_json(approval.content)]
    if previous is not None:
        editor = visible(approval.editors[-1] if approval.editors else "?")
        lines += [f"changed by {editor} from {previous.digest}", *_changes(previous.content, approval.content)]
    return ("\n".join(lines) + "\n").encode()


def shown_json(value: Any) -> str:
    """A value as indented JSON, keys in order, in which every misleading character is an escape."""
    return visible(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True))


def visible(text: str) -> str:
    """The text with JSON escapes for what is not seen, turns the direction, or looks like something else."""
    if text.isascii() and text.isprintable():
        return text
    runs = ((letters, "".join(run)) for letters, run in itertools.groupby(text, str.isalpha))
    return "".join(_visible_word(run) if letters else "".join(map(_visible_word, run)) for letters, run in runs)


def _visible_word(piece: str) -> str:
    """A run of letters, or one other character."""
    if piece.isascii():
        return piece if piece.isprintable() or piece == "\n" else _escape(piece)
    foreign = any(not _looks_ascii(char) for char in piece) and not any(char.isascii() for char in piece)
    return "".join(char if _is_plain(char, foreign) else _escape(char) for char in piece)


def _is_plain(char: str, foreign: bool) -> bool:
    """Whether a character shows what it is; `foreign`: it stands in a word that cannot be read as ASCII."""
    if char.isascii():
        return char.isprintable()
    if hidden_kind(char) is not None or unicodedata.category(char)[0] in "CZM":
        return False
    if unicodedata.bidirectional(char) in _FROM_THE_RIGHT:
        return False
    if _LATIN[0] <= ord(char) <= _LATIN[1] and (unicodedata.decomposition(char) or not _looks_ascii(char)):
        return True
    if unicodedata.normalize("NFKC", char) != char:
        return False
    return foreign or not _looks_ascii(char)


def _looks_ascii(char: str) -> bool:
    shape = form(char)
    return shape.isascii()


def _escape(char: str) -> str:
    return "".join(json.dumps(part)[1:-1] if ord(part) != 0x7F else "\\u007f" for part in char)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Each leaf that differs, both sides in full; by path and not by lines, so it is linear on any input."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            if path in old:
                yield f"- {visible(path)}: {visible(old[path])}"
            if path in new:
                yield f"+ {visible(path)}: {visible(new[path])}"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, JSON) of every leaf; empty lists and objects are leaves."""
    stack: list[tuple[str, Any]] = [(path, value)]
    while stack:
        at, item = stack.pop()
        if isinstance(item, Mapping) and item:
            stack += [(f"{at}[{json.dumps(key, ensure_ascii=False)}]", part) for key, part in item.items()]
        elif isinstance(item, list | tuple) and item:
            stack += [(f"{at}[{index}]", part) for index, part in enumerate(item)]
        else:
            yield at, json.dumps(item, ensure_ascii=False)
