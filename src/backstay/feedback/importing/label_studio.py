"""Label Studio: its JSON export (a task with annotations) and JSON-MIN (an annotation a row).

Read are Pairwise, Ranker (a whole order, or numbered buckets), Choices that name a response, and TextArea as rationale.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from backstay.feedback.importing.answered_fields import (
    PROMPTS,
    RATIONALES,
    Answered,
    FieldParser,
    FieldSettings,
    answered,
    dialogue_of,
    dimension_of,
    plain_name,
    rater_of,
)
from backstay.feedback.importing.cells import parse_time
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import JudgedItem, Vote
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import kind_of, text_of
from backstay.records import Choice, Dimension

TOOL = "label-studio"
_BUCKET = re.compile(r"(?:rank)?([0-9]{1,2})")
_ITEM_TEXT = ("body", "text", "html", "title")


class Result(NamedTuple):
    """One answer within an annotation, and where it stands."""

    name: str
    kind: str
    value: Any
    where: tuple[str | int, ...]


def read_label_studio(
    path: Path, *, dataset: str, settings: FieldSettings | None = None, limits: ReadLimits | None = None
) -> ParsedImport:
    """Parse a json or jsonl file that Label Studio exported; stores nothing."""
    return parse(path, dataset, label_studio_reading(path, settings or FieldSettings(), limits or ReadLimits()))


def label_studio_reading(path: Path, settings: FieldSettings, limits: ReadLimits) -> Reading:
    """The rows of such a file, and how they are read."""
    return _Parser(settings).reading(TOOL, path, limits)


class _Parser(FieldParser):
    def item(self, row: dict[str, Any]) -> JudgedItem | None:
        """One task; raises RowProblem."""
        if "data" in row and ("annotations" in row or "completions" in row):
            return self._task(row)
        if "annotator" not in row and "annotation_id" not in row:
            raise RowProblem("is no task with data and annotations, and no row of JSON-MIN with an annotator")
        shown = self._shown(row)
        skip = {*shown.names, "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
        results = [_short(name, value) for name, value in row.items() if name not in skip]
        votes = self._votes(shown, row, "annotator", [one for one in results if one is not None], ())
        return JudgedItem(shown.messages, shown.texts, tuple(votes))

    def _task(self, row: dict[str, Any]) -> JudgedItem | None:
        name = "annotations" if "annotations" in row else "completions"
        data, annotations = row["data"], row[name]
        if not isinstance(data, dict) or not isinstance(annotations, list):
            bad = ("data", data) if not isinstance(data, dict) else (name, annotations)
            raise RowProblem(f"{bad[0]} is {kind_of(bad[1])}", bad[0])
        shown = self._shown(data, "data")
        votes: list[Vote] = []
        for place, one in enumerate(annotations):
            where = (name, place)
            if not isinstance(one, dict) or not isinstance(one.get("result"), list):
                raise RowProblem("an annotation is no object with a list of results", *where)
            if one.get("was_cancelled") or not one["result"]:
                self._counts["annotations were skipped by their raters"] += 1
                continue
            results = [_full(result, *where, "result", k) for k, result in enumerate(one["result"])]
            votes.extend(self._votes(shown, one, "completed_by", results, where))
        if not votes:
            self._counts["tasks without an annotation"] += 1
            return None
        return JudgedItem(shown.messages, shown.texts, tuple(votes))

    def _shown(self, data: Mapping[str, Any], *where: str) -> Answered:
        """Responses in fields of their own, or in a list of items as the Ranker shows them."""
        listed = next((name for name, value in data.items() if _is_items(value)), None)
        if listed is None or any(name.startswith("response_") for name in self._settings.columns):
            return answered(data, self._settings, *where)
        items = data[listed]
        prompt = self._settings.columns.get("prompt") or next((n for n in data if plain_name(n) in PROMPTS), "")
        if prompt not in data:
            raise RowProblem("no field for the prompt; map it: --column prompt=FIELD", *where)
        texts = tuple(_item_text(one, *where, listed, k) for k, one in enumerate(items))
        names = tuple(str(one["id"]) for one in items)
        return Answered(dialogue_of(data[prompt], prompt, *where, prompt), names, texts, self._settings.values)

    def _votes(
        self,
        shown: Answered,
        annotation: Mapping[str, Any],
        rater_key: str,
        results: list[Result],
        where: tuple[str | int, ...],
    ) -> list[Vote]:
        choices: dict[Dimension, Choice] = {}
        rationale = ""
        for one in results:
            try:
                choice = _choice(shown, one) if self._wanted(one) else None
                if choice is not None:
                    self._add(choices, one, choice)
                elif _is_rationale(one):
                    rationale = _rationale(one)
                else:
                    self._counts[f"results of {one.name[:40]!r} are not read"] += 1
            except RowProblem as problem:
                raise problem.below(*one.where) if not problem.path else problem from problem
        if not choices:
            raise RowProblem("no result compares the responses", *where, *(["result"] if where else []))
        rater = rater_of(TOOL, _user(annotation.get(rater_key), *where, rater_key), *where, rater_key)
        extra = {"rationale": rationale, **_when(annotation, where)}
        shown_order = tuple(range(len(shown.texts)))
        return [Vote(rater, one, dimension, shown_order, extra=extra) for dimension, one in choices.items()]

    def _wanted(self, result: Result) -> bool:
        return self._settings.columns.get("choice", result.name) == result.name

    def _add(self, choices: dict[Dimension, Choice], result: Result, choice: Choice) -> None:
        dimension = dimension_of(result.name, self._settings)
        if dimension in choices:
            raise RowProblem(f"a second result judges {dimension}; name one: --column choice=NAME")
        choices[dimension] = choice


def _full(result: Any, *where: str | int) -> Result:
    if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
        raise RowProblem("a result is no object with a value", *where)
    name, kind = str(result.get("from_name", "")), str(result.get("type", ""))
    return Result(name, kind, result["value"].get(_INSIDE.get(kind, kind)), (*where, "value"))


_INSIDE = {"pairwise": "selected", "textarea": "text"}


def _short(name: str, value: Any) -> Result | None:
    """A result of JSON-MIN: the kind is told by what stands in it; None for what is data of the task."""
    found = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(found, dict):
        for kind in ("pairwise", "ranker", "choices", "textarea"):
            inside = _INSIDE.get(kind, kind)
            if inside in found:
                return Result(name, kind, found[inside], (name,))
        return None
    if not isinstance(found, str):
        return None
    return Result(name, "textarea" if plain_name(name) in RATIONALES else "choices", [found], (name,))


def _choice(shown: Answered, result: Result) -> Choice | None:
    if result.kind == "pairwise":
        if result.value not in ("left", "right"):
            raise RowProblem(f"selected is {str(result.value)[:40]!r}, not left or right")
        return shown.verdict(result.value)
    if result.kind == "ranker":
        return _ranked(shown, result.value)
    if result.kind == "choices" and isinstance(result.value, list) and len(result.value) == 1:
        return shown.verdict(result.value[0])
    return None


def _ranked(shown: Answered, value: Any) -> Choice:
    """One list of ids, best first; or buckets whose names are ranks."""
    if not isinstance(value, dict) or not all(isinstance(ids, list) for ids in value.values()):
        raise RowProblem(f"ranker is {kind_of(value)}, not an object of lists")
    groups = {name: ids for name, ids in value.items() if name != "_" or len(value) == 1}
    if len(groups) == 1:
        (ids,) = groups.values()
        return shown.ranking([(one, rank) for rank, one in enumerate(ids, start=1)])
    ranks = {name: _BUCKET.fullmatch(plain_name(name)) for name in groups}
    if not all(ranks.values()):
        raise RowProblem(f"the buckets {', '.join(map(repr, groups))} have no order; name them rank 1, rank 2, ...")
    placed = [(one, int(rank[1])) for name, rank in ranks.items() if rank for one in groups[name]]
    return shown.ranking([(one, float(rank)) for one, rank in placed])


def _is_rationale(result: Result) -> bool:
    return result.kind == "textarea" and plain_name(result.name) in RATIONALES


def _rationale(result: Result) -> str:
    texts = result.value if isinstance(result.value, list) else [result.value]
    return "\n".join(text_of(text, result.name) for text in texts)


def _is_items(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(one, dict) and "id" in one for one in value)


def _item_text(item: dict[str, Any], *where: str | int) -> str:
    name = next((name for name in _ITEM_TEXT if isinstance(item.get(name), str)), None)
    if name is None:
        raise RowProblem(f"an item has no text under {', '.join(_ITEM_TEXT)}", *where)
    return text_of(item[name], name, *where, name)


def _user(value: Any, *where: str | int) -> Any:
    """The number of a user; of one that is described, never the name."""
    if isinstance(value, dict):
        value = value.get("id", value.get("email"))
    if value is None:
        raise RowProblem("an annotation does not say who made it", *where)
    return value


def _when(annotation: Mapping[str, Any], where: tuple[str | int, ...]) -> dict[str, Any]:
    """Time and duration of an annotation; `lead_time` is in seconds."""
    created, lead = annotation.get("created_at"), annotation.get("lead_time")
    text = text_of(created, "created_at", *where, "created_at") if created else ""
    if lead is not None and (
        isinstance(lead, bool) or not isinstance(lead, int | float) or not 0 <= lead < 1e9 or math.isnan(lead)
    ):
        raise RowProblem(f"lead_time is {str(lead)[:40]!r}, not a number of seconds", *where, "lead_time")
    return {
        "created_at": parse_time(text, *where, "created_at") if text else "",
        "duration_ms": None if lead is None else round(lead * 1000),
    }
