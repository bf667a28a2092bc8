"""Argilla: records as its `to_json` writes them (2.x), and feedback records of 1.x, with a response a user."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from backstay.feedback.importing.answered_fields import (
    RATIONALES,
    Answered,
    FieldParser,
    FieldSettings,
    answered,
    dimension_of,
    plain_name,
    rater_of,
)
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import JudgedItem, Vote, ranking_of
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.problems import Path as Where
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import kind_of, text_of
from backstay.records import Choice, Dimension

TOOL = "argilla"


class Answer(NamedTuple):
    """A user's value for a question, and where it stands in the record."""

    user: Any
    question: str
    value: Any
    where: Where


@dataclass
class _Said:
    """What one user's answers come to."""

    choices: dict[Dimension, Choice] = field(default_factory=dict)
    ratings: dict[int, float] = field(default_factory=dict)
    rationale: str = ""


def read_argilla(
    path: Path, *, dataset: str, settings: FieldSettings | None = None, limits: ReadLimits | None = None
) -> ParsedImport:
    """Parse a json or jsonl file of Argilla's records; stores nothing."""
    return parse(path, dataset, argilla_reading(path, settings or FieldSettings(), limits or ReadLimits()))


def argilla_reading(path: Path, settings: FieldSettings, limits: ReadLimits) -> Reading:
    """The rows of such a file, and how they are read."""
    return _Parser(settings).reading(TOOL, path, limits)


class _Parser(FieldParser):
    def item(self, row: dict[str, Any]) -> JudgedItem | None:
        """One record; raises RowProblem."""
        fields = row.get("fields")
        if not isinstance(fields, dict):
            raise RowProblem(f"fields is {kind_of(fields)}, not an object", "fields")
        shown = answered(fields, self._settings, "fields")
        by_user: dict[str, list[Answer]] = {}
        for answer in self._answers(row.get("responses")):
            by_user.setdefault(str(answer.user), []).append(answer)
        if not by_user:
            self._counts["records without a submitted response"] += 1
            return None
        votes = [vote for answers in by_user.values() for vote in self._votes(shown, answers)]
        return JudgedItem(shown.messages, shown.texts, tuple(votes))

    def _answers(self, responses: Any) -> Iterator[Answer]:
        if responses is None:
            return
        if isinstance(responses, dict):
            yield from self._by_question(responses)
        elif isinstance(responses, list):
            yield from self._by_user(responses)
        else:
            raise RowProblem(f"responses is {kind_of(responses)}, not an object or a list", "responses")

    def _by_question(self, responses: dict[str, Any]) -> Iterator[Answer]:
        """Argilla 2: question -> a list of value and user_id."""
        for question, found in responses.items():
            if not isinstance(found, list):
                raise RowProblem(f"{question} is {kind_of(found)}, not a list", "responses", question)
            for place, one in enumerate(found):
                where = ("responses", question, place)
                if not isinstance(one, dict) or not {"value", "user_id"} <= one.keys():
                    raise RowProblem("a response is no object with value and user_id", *where)
                if self._submitted(one):
                    yield Answer(one["user_id"], question, one["value"], (*where, "value"))

    def _by_user(self, responses: list[Any]) -> Iterator[Answer]:
        """Argilla 1: a list of user_id, status, and values by question."""
        for place, one in enumerate(responses):
            where = ("responses", place)
            if not isinstance(one, dict) or not isinstance(one.get("values"), dict):
                raise RowProblem("a response is no object with values", *where)
            if not self._submitted(one):
                continue
            for question, found in one["values"].items():
                if not isinstance(found, dict) or "value" not in found:
                    raise RowProblem("an answer is no object with a value", *where, "values", question)
                yield Answer(one.get("user_id"), question, found["value"], (*where, "values", question, "value"))

    def _submitted(self, response: dict[str, Any]) -> bool:
        status = response.get("status") or "submitted"
        if status != "submitted":
            self._counts[f"responses are {str(status)[:20]}, not submitted"] += 1
        return bool(status == "submitted")

    def _votes(self, shown: Answered, answers: list[Answer]) -> list[Vote]:
        """What one user said of a record."""
        if answers[0].user is None:
            raise RowProblem("a response has no user_id", *answers[0].where[:2])
        rater = rater_of(TOOL, answers[0].user, *answers[0].where[:-1])
        said = _Said()
        for answer in answers:
            try:
                self._hear(shown, answer, said)
            except RowProblem as problem:
                raise problem.below(*answer.where) if not problem.path else problem from problem
        if said.ratings and not said.choices:
            if len(said.ratings) < len(shown.texts):
                raise RowProblem(f"rates {len(said.ratings)} of {len(shown.texts)} responses", *answers[0].where)
            scores = [said.ratings[k] for k in range(len(shown.texts))]
            said.choices[self._settings.dimension] = ranking_of(scores)
        if not said.choices:
            names = ", ".join(repr(one.question[:40]) for one in answers[:10])
            raise RowProblem(f"none of the questions {names} compares the responses", *answers[0].where)
        extra = {"rationale": said.rationale}
        return [Vote(rater, choice, dimension, extra=extra) for dimension, choice in said.choices.items()]

    def _hear(self, shown: Answered, answer: Answer, said: _Said) -> None:
        wanted = self._settings.columns.get("choice")
        if wanted not in (None, answer.question) and plain_name(answer.question) not in RATIONALES:
            self._counts[f"answers to {answer.question[:40]!r} are not read"] += 1
            return
        choice = _comparison(shown, answer.value)
        rated = _rated(shown, answer)
        if choice is not None:
            dimension = dimension_of(answer.question, self._settings)
            if dimension in said.choices:
                raise RowProblem(f"a second question judges {dimension}; name one: --column choice=QUESTION")
            said.choices[dimension] = choice
        elif rated is not None:
            said.ratings[rated] = float(answer.value)
        elif isinstance(answer.value, str) and plain_name(answer.question) in RATIONALES:
            said.rationale = text_of(answer.value, answer.question)
        else:
            self._counts[f"answers to {answer.question[:40]!r} are not read"] += 1


def _comparison(shown: Answered, value: Any) -> Choice | None:
    """A ranking, or a label that names a response."""
    if isinstance(value, str):
        return shown.verdict(value)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(one, dict) and "value" in one and _is_rank(one.get("rank")) for one in value):
        return shown.ranking([(one["value"], one["rank"]) for one in value])
    if all(isinstance(one, str) and shown.place(one) is not None for one in value):
        return shown.ranking([(one, rank) for rank, one in enumerate(value, start=1)])
    return None


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1000


def _rated(shown: Answered, answer: Answer) -> int | None:
    """The response that a rating question is about."""
    if isinstance(answer.value, bool) or not isinstance(answer.value, int | float):
        return None
    plain = plain_name(answer.question)
    inside = [k for k, name in enumerate(shown.names) if plain_name(name) in plain]
    if len(inside) == 1:
        return inside[0]
    end = plain.removeprefix("rating").removeprefix("score").removesuffix("rating").removesuffix("score")
    return shown.place(end)
