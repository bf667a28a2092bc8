"""Audits: pairs that a trusted person judges once more, as a file of questions that becomes a file of answers."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from backstay.errors import UsageError
from backstay.records import Audit, Dimension, Pair, Prompt, Response

CURE = 'write "a" or "b" as `better` in the lines that `backstay audit` proposes, and leave the rest as it is'


ADJUDICATED = "audits.jsonl"
"""Where a run of the rate stage has what reviewers decided on disputed pairs; no file where nobody did."""


class AuditLine(BaseModel):
    """A line of the file: `better` is null until it is answered. Texts that stand beside it are for the reader."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt_id: str
    a: str
    b: str
    dimension: Dimension = "overall"
    better: Literal["a", "b"] | None = None
    by: str = ""


def audit_questions(
    pairs: Iterable[Pair], prompts: Mapping[str, Prompt], responses: Mapping[str, Response]
) -> list[dict[str, Any]]:
    """One question a pair, with its texts, and without what the raters said, so that it leads nobody."""
    return [
        {
            "prompt_id": pair.prompt_id,
            "a": pair.a,
            "b": pair.b,
            "dimension": pair.dimension,
            "better": None,
            "by": "",
            "prompt": [f"{message.role}: {message.content}" for message in prompts[pair.prompt_id].messages],
            "text_a": responses[pair.a].text,
            "text_b": responses[pair.b].text,
        }
        for pair in pairs
    ]


def read_audits(path: Path) -> list[Audit]:
    """The answers in a file, one JSON object a line; lines without an answer are passed over.

    Raises UsageError with the number of the first line that does not fit, or that contradicts an earlier one.
    """
    found: dict[tuple[str, str, str, str], Audit] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            answer = AuditLine.model_validate(json.loads(line))
        except (ValidationError, json.JSONDecodeError) as error:
            raise UsageError(f"{path.name}, line {number}: {_reason(error)}", cure=CURE) from error
        if answer.better is None:
            continue
        audit = Audit(**answer.model_dump())
        if found.setdefault(audit.pair, audit).winner != audit.winner:
            raise UsageError(
                f"{path.name}, line {number}: contradicts an earlier answer to the same pair", cure="keep one of them"
            )
    return list(found.values())


def _reason(error: ValidationError | json.JSONDecodeError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON object: {error.msg}"
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'line'}: {first['msg']}"
