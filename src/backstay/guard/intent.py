"""Whether the user asked for what a tool does, by words that the operator declares for it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from backstay.guard.conversation import Message
from backstay.guard.marks import normal, words
from backstay.scan.view import View


class _Verbs(NamedTuple):
    whole: frozenset[str]
    beginnings: tuple[str, ...]
    phrases: tuple[str, ...]


def user_words(messages: Iterable[Message]) -> list[str]:
    """All words that users said, in the scanners' normalised view."""
    return [word for message in messages if message.role == "user" for word in words(normal(View.of(message.text)))]


def asked_for(said: Sequence[str], verbs: Sequence[str]) -> bool:
    """Whether a word or phrase of `verbs` is among the words said; `pay*` stands for all words that begin so."""
    wanted = _read(tuple(verbs))
    if any(word in wanted.whole or (wanted.beginnings and word.startswith(wanted.beginnings)) for word in said):
        return True
    joined = f" {' '.join(said)} " if wanted.phrases else ""
    return any(phrase in joined for phrase in wanted.phrases)


@lru_cache(maxsize=1024)
def _read(verbs: tuple[str, ...]) -> _Verbs:
    whole, beginnings, phrases = set(), [], []
    for verb in verbs:
        parts = words(normal(View.of(verb)))
        if len(parts) > 1:
            phrases.append(f" {' '.join(parts)}" + ("" if verb.endswith("*") else " "))
        elif verb.endswith("*"):
            beginnings.extend(parts)
        else:
            whole.update(parts)
    return _Verbs(frozenset(whole), tuple(beginnings), tuple(phrases))
