"""Which fields of a foreign record hold the prompt and the responses, and which response an answer means."""

import abc
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import Field

from backstay.errors import UsageError
from backstay.feedback.importing.documents import read_objects
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import HELDOUT_SHARE, JudgedItem, Verdict, choice_of, ranking_of
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import text_of
from backstay.feedback.importing.trl import messages_of
from backstay.records import Choice, Dimension, Message, Rater, Settings, sha256_hex

PROMPTS = ("prompt", "instruction", "question", "input", "conversation", "dialogue", "messages", "context", "text")
WORDS: dict[str, Verdict] = {"tie": "tie", "equal": "tie", "same": "tie", "bothbad": "both_bad", "neither": "both_bad"}
DIMENSIONS: dict[str, Dimension] = {
    "helpful": "helpful",
    "helpfulness": "helpful",
    "harmless": "harmless",
    "harmlessness": "harmless",
    "honest": "honest",
    "honesty": "honest",
    "overall": "overall",
}
RATIONALES = ("rationale", "comment", "comments", "explanation", "reason", "feedback", "notes")
_STEMS = "response|reply|answer|generation|completion|output|candidate|item|text"
_NUMBERED = re.compile(rf"({_STEMS})([0-9]{{1,3}}|[a-z])")
_MAX_ID = 180


class FieldSettings(Settings):
    """How records of Argilla and Label Studio are to be read, where their names do not tell."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Our name -> the file's field: `prompt`, `response_1`, `response_2`, ..., and `choice` for the one question to
    read; empty = found by their names."""
    values: dict[str, str] = Field(default_factory=dict)
    """The file's answer -> a, b, tie or both_bad; empty = the names of the responses, left, right, tie, both bad."""
    dimension: Dimension = "overall"
    """What was judged, where the question's name does not say so."""
    heldout_share: float = HELDOUT_SHARE
    """Share of prompts kept out of training; 0 = none."""

    def check(self) -> None:
        """Refuse names and values that mean nothing."""
        for name in self.columns:
            if name not in ("prompt", "choice") and not re.fullmatch(r"response_([0-9]{1,2}|[a-z])", name):
                raise UsageError(
                    f"the column map names {name!r}", cure="use prompt, choice, response_1, response_2, ..."
                )
        for value in self.values.values():
            if value not in get_args(Verdict):
                raise UsageError(f"the value map leads to {value!r}", cure=f"use one of {', '.join(get_args(Verdict))}")


class FieldParser(abc.ABC):
    """Reads one record after another of a tool whose fields and answers are named by whoever set it up."""

    def __init__(self, settings: FieldSettings) -> None:
        settings.check()
        self._settings = settings
        self._counts: Counter[str] = Counter()

    @abc.abstractmethod
    def item(self, row: dict[str, Any]) -> JudgedItem | None:
        """One record; raises RowProblem."""

    def notes(self) -> tuple[str, ...]:
        """What was left out, and how often."""
        return tuple(f"{count} {said}" for said, count in sorted(self._counts.items()))

    def reading(self, tool: str, path: Path, limits: ReadLimits) -> Reading:
        """The rows of a file, and how they are read."""
        return Reading(tool, read_objects(path, limits), self.item, self._settings.heldout_share, self.notes)


@dataclass(frozen=True)
class Answered:
    """What a record shows: the dialogue, and each response under the name that answers use for it."""

    messages: tuple[Message, ...]
    names: tuple[str, ...]
    texts: tuple[str, ...]
    values: Mapping[str, str]

    def place(self, value: Any) -> int | None:
        """The response that a value names: by its field, or by the number or letter at its end; None for no one."""
        plain = plain_name(value)
        for k, name in enumerate(self.names):
            if plain == plain_name(name):
                return k
        ends = [_NUMBERED.fullmatch(plain_name(name)) for name in self.names]
        found = _NUMBERED.fullmatch(plain)
        end = found[2] if found else plain
        return next((k for k, one in enumerate(ends) if one and one[2] == end), None)

    def verdict(self, value: Any) -> Choice | None:
        """A single answer as a choice: the best of two, a tie, or both bad; None where it is none of these."""
        text = value if isinstance(value, str) else ""
        word = self.values.get(text) or WORDS.get(plain_name(text))
        if word in ("tie", "both_bad"):
            return choice_of(cast("Verdict", word)) if len(self.texts) == 2 or word == "both_bad" else self._all_tie()
        best = self._best(word, text)
        if best is None:
            return None
        if len(self.texts) != 2:
            raise RowProblem(f"names one response, {text[:40]!r}, of {len(self.texts)}: no ranking")
        return Choice.prefer(best, 1 - best)

    def ranking(self, ranks: Sequence[tuple[Any, float]]) -> Choice:
        """(name, rank) of every response, rank 1 best; raises RowProblem where one is missing, twice or unknown."""
        found: dict[int, float] = {}
        for name, rank in ranks:
            place = self.place(name)
            if place is None or place in found:
                raise RowProblem(f"ranks {str(name)[:40]!r}, which is " + ("no response" if place is None else "twice"))
            found[place] = rank
        if len(found) != len(self.texts):
            raise RowProblem(f"ranks {len(found)} of {len(self.texts)} responses")
        return ranking_of([found[k] for k in range(len(self.texts))], best="low")

    def _best(self, word: str | None, text: str) -> int | None:
        if word in ("a", "b"):
            return "ab".index(word)
        side = {"left": 0, "right": 1}.get(plain_name(text))
        return self.place(text) if side is None else side

    def _all_tie(self) -> Choice:
        return Choice(ranking=(tuple(range(len(self.texts))),))


def plain_name(value: Any) -> str:
    """Letters and digits of a name, in lower case."""
    return re.sub(r"[^a-z0-9]", "", str(value)[:200].lower())


def dimension_of(question: str, settings: FieldSettings) -> Dimension:
    """What a question asks about, by its name."""
    return DIMENSIONS.get(plain_name(question), settings.dimension)


def answered(fields: Mapping[str, Any], settings: FieldSettings, *where: str | int) -> Answered:
    """Find prompt and responses among the fields of a record; raises RowProblem."""
    prompt = settings.columns.get("prompt") or next((name for name in PROMPTS if name in fields), None)
    if prompt is None or prompt not in fields:
        raise RowProblem(f"no field for the prompt among {_listed(fields)}; map it: --column prompt=FIELD", *where)
    names = _mapped(settings.columns) or _numbered(name for name in fields if name != prompt)
    missing = [name for name in names if name not in fields]
    if missing or len(names) < 2:
        said = f"no field {missing[0]!r}" if missing else "no fields for the responses"
        raise RowProblem(f"{said} among {_listed(fields)}; map them: --column response_1=FIELD ...", *where)
    texts = tuple(text_of(fields[name], name, *where, name) for name in names)
    return Answered(dialogue_of(fields[prompt], prompt, *where, prompt), tuple(names), texts, settings.values)


def dialogue_of(value: Any, name: str, *where: str | int) -> tuple[Message, ...]:
    """A prompt as messages: a list of them, or one user's text."""
    if isinstance(value, list):
        return messages_of(value, name, *where)
    text = text_of(value, name, *where)
    if not text.strip():
        raise RowProblem(f"{name} is empty", *where)
    return (Message(role="user", content=text),)


def rater_of(tool: str, value: Any, *where: str | int) -> Rater:
    """A rater under the tool's own number or id, an address only as its hash; raises RowProblem."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of(value, "rater", *where)
    if not 0 < len(text.strip()) <= _MAX_ID or not text.isprintable():
        raise RowProblem(f"the rater's id is not 1 to {_MAX_ID} printable characters", *where)
    if "@" in text:
        text = sha256_hex(f"{tool}:{text.strip().lower()}".encode())[:20]
    rater_id = text if text.startswith(f"{tool}:") else f"{tool}:{text}"
    return Rater(id=rater_id, display_name=rater_id)


def _mapped(columns: Mapping[str, str]) -> list[str]:
    keys = [name for name in columns if name.startswith("response_")]
    return [columns[name] for name in sorted(keys, key=lambda name: (len(name), name))]


def _numbered(names: Iterable[str]) -> list[str]:
    """Fields that are called alike and end with a number or letter: the first such family of two or more."""
    families: dict[str, list[tuple[str, str]]] = {stem: [] for stem in _STEMS.split("|")}
    for name in names:
        found = _NUMBERED.fullmatch(plain_name(name))
        if found:
            families[found[1]].append((found[2], name))
    family = next((one for one in families.values() if len(one) > 1), [])
    return [name for _, name in sorted(family, key=lambda one: (len(one[0]), one[0]))]


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(repr(name[:40]) for name in list(fields)[:20]) or "none"
