"""What is to be judged: a prompt a row with two or more responses, by no rater yet; csv, JSON and Parquet."""

import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing.cells import PromptKind, json_cell, prompt_of
from backstay.feedback.importing.documents import read_objects
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import POLICY, JudgedItem
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import SourceRow, format_of, kind_of, read_rows, text_of
from backstay.feedback.importing.table import no_column
from backstay.records import Dimension, Message

FORMAT = "unjudged"
LETTERS = string.ascii_lowercase
NAMES = ("prompt", "responses", "gold", *(f"{kind}_{letter}" for letter in LETTERS for kind in ("response", "policy")))
KNOWN = "prompt, responses, gold, response_a, policy_a, response_b, policy_b, ..."
JUDGED = ("choice", "rater", "chosen", "rejected", "winner", "annotator")
"""Columns of files that were judged: read as one that was not, their judgments would be lost without a word."""
_MAX_POLICY = 200


def unjudged_reading(
    path: Path,
    dimension: Dimension,
    columns: Mapping[str, str],
    prompt_kind: PromptKind,
    heldout_share: float,
    limits: ReadLimits,
) -> Reading:
    """The rows of such a file, and how they are read; `columns` maps our names to the file's, where they differ."""
    unknown = sorted(columns.keys() - set(NAMES))
    if unknown:
        raise UsageError(f"the column map names {unknown[0]!r}, which is not known", cure=f"use one of {KNOWN}")
    reader = _Reader(dimension, columns, prompt_kind)
    return Reading(FORMAT, _rows(path, reader.columns, limits), reader.item, heldout_share)


def _rows(path: Path, columns: Mapping[str, str], limits: ReadLimits) -> Iterator[SourceRow]:
    is_table = path.name.lower().removesuffix(".gz").endswith((".csv", ".parquet"))
    rows = read_rows(path, format_of(path), limits) if is_table else read_objects(path, limits)
    for place, row in enumerate(rows):
        if not place:
            _check_columns(path, columns, list(row.values), is_table=is_table)
        yield row


def _check_columns(path: Path, columns: Mapping[str, str], header: list[str], *, is_table: bool) -> None:
    judged = [name for name in JUDGED if name in header and name not in columns.values()]
    if judged:
        raise ImportRefused(
            f"{path} has {judged[0]!r}, as a file that was judged",
            cure="import it as csv, jsonl, parquet or trl; or leave that column out, if it is to be judged anew",
        )
    needed = ["prompt", *(() if columns["responses"] in header else ("response_a", "response_b"))]
    missing = [columns[name] for name in needed if columns[name] not in header]
    if is_table and header and missing:
        raise no_column(path, missing[0], header, KNOWN)


class _Reader:
    """Reads one row; `columns` are the file's by our names."""

    def __init__(self, dimension: Dimension, columns: Mapping[str, str], prompt_kind: PromptKind) -> None:
        self._dimension, self._prompt_kind = dimension, prompt_kind
        self.columns = {name: columns.get(name, name) for name in NAMES}

    def item(self, row: dict[str, Any]) -> JudgedItem:
        """The row as an item without votes; raises RowProblem."""
        messages = self._messages(row)
        given = row.get(self.columns["responses"])
        found = self._lettered(row) if given is None or given == "" else self._listed(given)
        return JudgedItem(
            messages,
            tuple(text for text, _ in found),
            (),
            policies=tuple(policy for _, policy in found),
            gold=self._gold(row, len(found)),
            dimensions=(self._dimension,),
        )

    def _messages(self, row: dict[str, Any]) -> tuple[Message, ...]:
        column = self.columns["prompt"]
        value = row.get(column)
        if value is None or value == "":
            raise RowProblem("has no prompt", column)
        return prompt_of(value, self._prompt_kind, column)

    def _lettered(self, row: dict[str, Any]) -> list[tuple[str, str]]:
        """From response_a, response_b and so on: if empty, the first two are empty answers, and later ones are none."""
        found: list[tuple[str, str]] = []
        for letter in LETTERS:
            name, policy = f"response_{letter}", f"policy_{letter}"
            value = row.get(self.columns[name])
            if value is None and letter in "ab":
                raise RowProblem(f"has no {name}", self.columns[name])
            if value is None or (value == "" and letter not in "ab"):
                continue
            if letter != LETTERS[len(found)]:
                raise RowProblem(f"has {name}, and no response_{LETTERS[len(found)]}", self.columns[name])
            found.append(
                (text_of(value, name, self.columns[name]), self._policy(row.get(self.columns[policy]), policy))
            )
        return found

    def _listed(self, value: Any) -> list[tuple[str, str]]:
        """From a list of texts, or of objects with a text and perhaps a policy."""
        column = self.columns["responses"]
        every = json_cell("responses", value, column) if isinstance(value, str) else value
        if not isinstance(every, list):
            raise RowProblem(f"responses is {kind_of(every)}, not a list", column)
        found = []
        for place, one in enumerate(every):
            if not isinstance(one, dict):
                found.append((text_of(one, "response", column, place), POLICY))
                continue
            unknown = sorted(one.keys() - {"text", "policy"})
            if unknown:
                raise RowProblem(
                    f"a response has {unknown[0][:40]!r}; accepted: text, policy", column, place, unknown[0]
                )
            policy = self._policy(one.get("policy"), "responses", place, "policy")
            found.append((text_of(one.get("text"), "text", column, place, "text"), policy))
        return found

    def _policy(self, value: Any, *where: str | int) -> str:
        """Who wrote a response; raters are never told."""
        if value is None or value == "":
            return POLICY
        place = (self.columns[str(where[0])], *where[1:])
        found = text_of(value, "policy", *place)
        if len(found) > _MAX_POLICY or not found.isprintable():
            raise RowProblem(f"policy is not 1 to {_MAX_POLICY} printable characters", *place)
        return found

    def _gold(self, row: dict[str, Any], count: int) -> int | None:
        """The place of the response that a trusted person has settled as the best; None where nobody has."""
        column = self.columns["gold"]
        value = row.get(column)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or value not in tuple(LETTERS[:count]):
            accepted = f"a to {LETTERS[count - 1]}" if 0 < count <= len(LETTERS) else "a letter of a response"
            raise RowProblem(f"gold is {str(value)[:40]!r}; accepted: {accepted}", column)
        return LETTERS.index(value)
