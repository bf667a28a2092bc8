"""UltraFeedback: K answers a prompt with ratings of a model, or its binarized form with one better and one worse."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from backstay.feedback.importing.documents import read_objects
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import (
    HELDOUT_SHARE,
    POLICY,
    JudgedItem,
    Verdict,
    Vote,
    choice_of,
    import_rater,
    ranking_of,
)
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import kind_of, read_rows, text_of
from backstay.feedback.importing.trl import messages_of, preferred_texts
from backstay.records import Dimension, Message, Rater

ASPECTS: dict[str, Dimension] = {"helpfulness": "helpful", "honesty": "honest"}
"""Aspects that are dimensions of ours; the other two, instruction_following and truthfulness, are not read."""


def read_ultrafeedback(
    path: Path, *, dataset: str, heldout_share: float = HELDOUT_SHARE, limits: ReadLimits | None = None
) -> ParsedImport:
    """Parse a jsonl, json or Parquet file of UltraFeedback; stores nothing."""
    return parse(path, dataset, ultrafeedback_reading(path, dataset, heldout_share, limits or ReadLimits()))


def ultrafeedback_reading(path: Path, dataset: str, heldout_share: float, limits: ReadLimits) -> Reading:
    """The rows of such a file, and how they are read."""
    parquet = path.name.lower().endswith(".parquet")
    rows = read_rows(path, "parquet", limits) if parquet else read_objects(path, limits)
    parser = _Parser(import_rater(dataset))
    return Reading("ultrafeedback", rows, parser.item, heldout_share, parser.notes)


class _Parser:
    """Reads rows of both layouts, and counts what is not read."""

    def __init__(self, rater: Rater) -> None:
        self._rater = rater
        self._counts: Counter[str] = Counter()

    def notes(self) -> tuple[str, ...]:
        """What was left out, and how often."""
        return tuple(f"{count} {said}" for said, count in sorted(self._counts.items()))

    def item(self, row: dict[str, Any]) -> JudgedItem:
        """One row; raises RowProblem."""
        if "completions" in row:
            return self._rated(row)
        missing = [name for name in ("prompt", "chosen", "rejected") if name not in row]
        if missing:
            raise RowProblem(f"has neither completions nor prompt, chosen and rejected: no {missing[0]}")
        return self._binarized(row)

    def _binarized(self, row: dict[str, Any]) -> JudgedItem:
        messages, better, worse = preferred_texts(row["prompt"], row["chosen"], row["rejected"])
        high, low = (_score(row.get(name), name) for name in ("score_chosen", "score_rejected"))
        if high is not None and low is not None and high < low:
            raise RowProblem(f"score_chosen is {high}, below score_rejected, {low}", "score_chosen")
        verdict: Verdict = "tie" if high is not None and high == low else "a"
        return JudgedItem(messages, (better, worse), (Vote(self._rater, choice_of(verdict)),))

    def _rated(self, row: dict[str, Any]) -> JudgedItem:
        completions = row["completions"]
        if not isinstance(completions, list) or not all(isinstance(one, dict) for one in completions):
            raise RowProblem(f"completions is {kind_of(completions)}, not a list of objects", "completions")
        texts = [
            text_of(one.get("response"), "response", "completions", k, "response") for k, one in enumerate(completions)
        ]
        kept = [k for k, text in enumerate(texts) if text not in texts[:k]]
        if len(kept) < 2:
            raise RowProblem(f"has {len(kept)} different responses, not at least 2", "completions")
        self._counts["completions repeat the text of an earlier one of their row"] += len(texts) - len(kept)
        self._counts += Counter()
        votes = [
            Vote(self._rater, ranking_of(scores), dimension)
            for dimension, scores in self._scores(completions, kept).items()
        ]
        if not votes:
            raise RowProblem("no overall_score and no rating covers every completion", "completions")
        policies = tuple(_model(completions[k], k) for k in kept)
        return JudgedItem(_messages(row), tuple(texts[k] for k in kept), tuple(votes), policies)

    def _scores(self, completions: list[dict[str, Any]], kept: list[int]) -> dict[Dimension, list[float]]:
        """Scores of the kept completions by dimension, where each has one."""
        found: dict[Dimension, list[float | None]] = {
            "overall": [_score(completions[k].get("overall_score"), "overall_score", "completions", k) for k in kept]
        }
        for aspect, dimension in ASPECTS.items():
            found[dimension] = [_rating(completions[k], aspect, k) for k in kept]
        whole: dict[Dimension, list[float]] = {}
        for dimension, scores in found.items():
            known = [score for score in scores if score is not None]
            if len(known) == len(scores):
                whole[dimension] = known
            elif known:
                self._counts[f"rows lack a rating on {dimension}: no judgment on it"] += 1
        return whole


def _messages(row: dict[str, Any]) -> tuple[Message, ...]:
    """The instruction: text, or messages as our own export writes a longer dialogue."""
    if isinstance(row.get("instruction"), list):
        return messages_of(row["instruction"], "instruction")
    text = text_of(row.get("instruction"), "instruction", "instruction")
    if not text.strip():
        raise RowProblem("instruction is empty", "instruction")
    return (Message(role="user", content=text),)


def _model(completion: dict[str, Any], place: int) -> str:
    model = text_of(completion.get("model") or POLICY, "model", "completions", place, "model")
    if len(model) > 200 or not model.isprintable():
        raise RowProblem("model is not 1 to 200 printable characters", "completions", place, "model")
    return model


def _rating(completion: dict[str, Any], aspect: str, place: int) -> float | None:
    """The rating on one aspect, which is an object, or a list with one."""
    where = ("completions", place, "annotations")
    annotations = completion.get("annotations") or {}
    if not isinstance(annotations, dict):
        raise RowProblem(f"annotations is {kind_of(annotations)}, not an object", *where)
    found = annotations.get(aspect)
    found = found[0] if isinstance(found, list) and found else found
    if found is None or found == []:
        return None
    if not isinstance(found, dict):
        raise RowProblem(f"{aspect} is {kind_of(found)}, not an object", *where, aspect)
    return _score(found.get("Rating"), "Rating", *where, aspect)


def _score(value: Any, name: str, *where: str | int) -> float | None:
    """A number, or text that is one; None where there is none or "N/A"."""
    if value is None or value == "N/A" or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.inf
    if isinstance(value, bool) or not math.isfinite(found):
        raise RowProblem(f"{name} is {str(value)[:40]!r}, not a number", *where, name)
    return found
