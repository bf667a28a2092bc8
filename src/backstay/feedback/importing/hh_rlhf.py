"""The format of Anthropic's hh-rlhf: two whole dialogues a row that differ in the assistant's last turn."""

import re
from pathlib import Path
from typing import Any

from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import HELDOUT_SHARE, JudgedItem, Vote, choice_of, import_rater
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import read_rows, text_of
from backstay.records import Dimension, Message, Rater, Role

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}


def read_hh_rlhf(
    path: Path,
    *,
    dataset: str,
    dimension: Dimension = "overall",
    heldout_share: float = HELDOUT_SHARE,
    limits: ReadLimits | None = None,
) -> ParsedImport:
    """Parse a jsonl or jsonl.gz file of {"chosen": ..., "rejected": ...}; stores nothing."""
    return parse(path, dataset, hh_rlhf_reading(path, dataset, dimension, heldout_share, limits or ReadLimits()))


def hh_rlhf_reading(
    path: Path, dataset: str, dimension: Dimension, heldout_share: float, limits: ReadLimits
) -> Reading:
    """The rows of such a file, and how they are read."""
    rater = import_rater(dataset)
    rows = read_rows(path, "jsonl", limits)
    return Reading("hh-rlhf", rows, lambda row: _pair(row, rater, dimension), heldout_share)


def parse_dialogue(text: str, *where: str) -> tuple[Message, ...]:
    r"""Split "\n\nHuman: ...\n\nAssistant: ..." into messages; raises RowProblem when it does not begin that way."""
    before, *parts = _TURN.split(text)
    if before.strip() or not parts:
        raise RowProblem('a dialogue does not begin with "\\n\\nHuman:" or "\\n\\nAssistant:"', *where)
    turns = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(role=_ROLES[name], content=content.strip()) for name, content in turns)


def split_pair(chosen: str, rejected: str) -> tuple[tuple[Message, ...], str, str]:
    """The shared dialogue and the two last answers; raises RowProblem when the dialogues part earlier."""
    better, worse = parse_dialogue(chosen, "chosen"), parse_dialogue(rejected, "rejected")
    for name, dialogue in (("chosen", better), ("rejected", worse)):
        if dialogue[-1].role != "assistant":
            raise RowProblem("a dialogue does not end with the assistant's turn", name)
    if better[:-1] != worse[:-1]:
        raise RowProblem("chosen and rejected differ before the assistant's last turn", "rejected")
    return better[:-1], better[-1].content, worse[-1].content


def _pair(row: dict[str, Any], rater: Rater, dimension: Dimension) -> JudgedItem:
    missing = {"chosen", "rejected"} - row.keys()
    if missing:
        raise RowProblem(f"has no {' and no '.join(sorted(missing))}")
    chosen, rejected = text_of(row["chosen"], "chosen", "chosen"), text_of(row["rejected"], "rejected", "rejected")
    messages, better, worse = split_pair(chosen, rejected)
    return JudgedItem(messages, (better, worse), (Vote(rater, choice_of("a"), dimension),))
