"""TRL's preference formats: plain or conversational, with the prompt in a column or inside both dialogues."""

from pathlib import Path
from typing import Any, get_args

from backstay.errors import UsageError
from backstay.feedback.importing.hh_rlhf import split_pair
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import HELDOUT_SHARE, JudgedItem, Vote, choice_of, import_rater
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import format_of, read_rows, text_of
from backstay.records import Dimension, Message, Rater, Role

_DIALOGUE_START = "\n\nHuman:"
Texts = tuple[tuple[Message, ...], str, str]


def read_trl(
    path: Path,
    *,
    dataset: str,
    dimension: Dimension = "overall",
    heldout_share: float = HELDOUT_SHARE,
    limits: ReadLimits | None = None,
) -> ParsedImport:
    """Parse a jsonl, jsonl.gz or Parquet file of {prompt?, chosen, rejected}; stores nothing."""
    return parse(path, dataset, trl_reading(path, dataset, dimension, heldout_share, limits or ReadLimits()))


def trl_reading(path: Path, dataset: str, dimension: Dimension, heldout_share: float, limits: ReadLimits) -> Reading:
    """The rows of such a file, and how they are read."""
    kind = format_of(path)
    if kind == "csv":
        raise UsageError(f"{path.name}: TRL data comes as jsonl or Parquet", cure="import it as csv with a column map")
    rater = import_rater(dataset)
    return Reading("trl", read_rows(path, kind, limits), lambda row: _pair(row, rater, dimension), heldout_share)


def messages_of(value: Any, name: str, *where: str | int) -> tuple[Message, ...]:
    """A list of {"role", "content"} as messages; raises RowProblem for anything else, at `where`, by default `name`."""
    where = where or (name,)
    if not isinstance(value, list) or not value:
        raise RowProblem(f"{name} is not a list of messages", *where)
    return tuple(_message(item, name, *where, place) for place, item in enumerate(value))


def _message(item: Any, name: str, *where: str | int) -> Message:
    if not isinstance(item, dict) or item.keys() != {"role", "content"}:
        raise RowProblem(f"{name} has a message that is not exactly a role and a content", *where)
    role: Role = item["role"]
    if role not in get_args(Role):
        raise RowProblem(f"{name} has a message with the role {str(item['role'])[:40]!r}", *where, "role")
    return Message(role=role, content=text_of(item["content"], f"{name} content", *where, "content"))


def _pair(row: dict[str, Any], rater: Rater, dimension: Dimension) -> JudgedItem:
    missing = {"chosen", "rejected"} - row.keys()
    if missing:
        raise RowProblem(f"has no {' and no '.join(sorted(missing))}")
    messages, better, worse = preferred_texts(row.get("prompt"), row["chosen"], row["rejected"])
    return JudgedItem(messages, (better, worse), (Vote(rater, choice_of("a"), dimension),))


def preferred_texts(prompt: Any, chosen: Any, rejected: Any) -> Texts:
    """The dialogue and the two answers, in whichever of TRL's layouts; raises RowProblem."""
    if isinstance(chosen, list) or isinstance(rejected, list):
        return _conversational(prompt, messages_of(chosen, "chosen"), messages_of(rejected, "rejected"))
    chosen, rejected = text_of(chosen, "chosen", "chosen"), text_of(rejected, "rejected", "rejected")
    if prompt is not None:
        return _dialogue(prompt), chosen, rejected
    if chosen.startswith(_DIALOGUE_START) and rejected.startswith(_DIALOGUE_START):
        return split_pair(chosen, rejected)
    return _implicit(chosen, rejected)


def _dialogue(prompt: Any) -> tuple[Message, ...]:
    if isinstance(prompt, list):
        return messages_of(prompt, "prompt")
    text = text_of(prompt, "prompt", "prompt")
    if not text.strip():
        raise RowProblem("prompt is empty", "prompt")
    return (Message(role="user", content=text),)


def _conversational(prompt: Any, chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> Texts:
    """Everything before the last message belongs to the prompt and must agree."""
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        if messages[-1].role != "assistant":
            raise RowProblem("chosen or rejected does not end with the assistant's message", name)
    if chosen[:-1] != rejected[:-1]:
        raise RowProblem("chosen and rejected differ before the last message", "rejected")
    before = () if prompt is None else _dialogue(prompt)
    # A prompt column may repeat what stands at the beginning of both dialogues.
    shared = chosen[:-1] if chosen[: len(before)] == before else before + chosen[:-1]
    return shared, chosen[-1].content, rejected[-1].content


def _implicit(chosen: str, rejected: str) -> Texts:
    """Plain texts without a prompt column: what both begin with is the prompt, cut back to a whole word."""
    length = next(
        (place for place, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other),
        min(len(chosen), len(rejected)),
    )
    while length and not chosen[length - 1].isspace():
        length -= 1
    prompt = chosen[:length].strip()
    if not prompt:
        raise RowProblem("there is no prompt, and chosen and rejected do not begin with the same words", "rejected")
    return (Message(role="user", content=prompt),), chosen[length:], rejected[length:]
