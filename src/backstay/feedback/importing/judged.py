"""What a row says, before it becomes records: a dialogue, its responses, and who judged them how."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import text_of
from backstay.records import (
    Choice,
    Dimension,
    Judgment,
    Message,
    Prompt,
    Rater,
    Response,
    Span,
    Split,
    Task,
    content_id,
    sha256_hex,
)

Verdict = Literal["a", "b", "tie", "both_bad"]
POLICY = "imported"
"""Policy of an imported response where the file does not say who wrote it: the name must not tell the label."""
HELDOUT_SHARE = 0.1
MAX_RESPONSES = 50


@dataclass(frozen=True)
class Vote:
    """One rater's answer; numbers are places among the item's texts. `extra` holds more fields of the judgment."""

    rater: Rater
    choice: Choice
    dimension: Dimension = "overall"
    shown: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgedItem:
    """One dialogue with K >= 2 answers and the votes on them; `gold` is the place of the settled best.

    It is judged along the dimensions of its votes; `dimensions` are those along which it is to be judged besides.
    """

    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    votes: tuple[Vote, ...]
    policies: tuple[str, ...] = ()
    gold: int | None = None
    dimensions: tuple[Dimension, ...] = ()


class Bundle(NamedTuple):
    """Records of one row; a judgment comes with the key by which a repetition is known."""

    prompt: Prompt
    responses: Sequence[Response]
    tasks: Sequence[Task]
    raters: Sequence[Rater]
    judgments: Sequence[tuple[str, Judgment]]


@dataclass(frozen=True)
class Origin:
    """Where rows come from."""

    format: str
    file_sha256: str
    heldout_share: float = HELDOUT_SHARE


def split_of(prompt_id: str, heldout_share: float) -> Split:
    """Held-out or train, by the hash of the prompt id alone, so that every import of a prompt agrees."""
    place = int(sha256_hex(prompt_id.encode())[:13], 16) / 16**13
    return "heldout" if place < heldout_share else "train"


def import_rater(dataset: str) -> Rater:
    """Stands for everybody behind a file that names no raters."""
    return Rater(id=f"import:{dataset}", display_name=f"all raters of the import {dataset}", role="import")


def choice_of(verdict: Verdict) -> Choice:
    """A verdict on two responses as a choice."""
    if verdict in ("a", "b"):
        return Choice.prefer(0, 1) if verdict == "a" else Choice.prefer(1, 0)
    return Choice.tie() if verdict == "tie" else Choice(both_bad=True)


def ranking_of(scores: Sequence[float], *, best: Literal["high", "low"] = "high") -> Choice:
    """Responses in order of their scores (or ranks, best low); equal ones tie."""
    levels = sorted(set(scores), reverse=best == "high")
    return Choice(ranking=tuple(tuple(k for k, score in enumerate(scores) if score == level) for level in levels))


def bundle_of(item: JudgedItem, number: int, origin: Origin) -> Bundle:
    """The item as records; responses stand in order of id, so that their place tells nothing. Raises RowProblem."""
    prompt = _prompt(item.messages, origin)
    responses = _responses(item, prompt)
    order = sorted(range(len(responses)), key=lambda place: responses[place].id)
    place_of = {old: new for new, old in enumerate(order)}
    ids = tuple(responses[old].id for old in order)
    gold = None if item.gold is None else place_of[item.gold]
    tasks = {
        dimension: Task.make(prompt.id, ids, dimension=dimension, gold=gold)
        for dimension in dict.fromkeys((*(vote.dimension for vote in item.votes), *item.dimensions))
    }
    judged = [_judgment(vote, tasks[vote.dimension], place_of) for vote in item.votes]
    # The first judgment of a row has the id that it had when a row held only one.
    named = [
        (
            one.digest(),
            one.model_copy(update={"id": content_id("judgment", [origin.file_sha256, number, *([k] if k else [])])}),
        )
        for k, one in enumerate(judged)
    ]
    return Bundle(prompt, responses, tuple(tasks.values()), [vote.rater for vote in item.votes], named)


def _prompt(messages: tuple[Message, ...], origin: Origin) -> Prompt:
    if not messages or messages[-1].role != "user":
        raise RowProblem("the dialogue before the responses does not end with a user's turn")
    for message in messages:
        text_of(message.content, "prompt")
    prompt = Prompt.make(messages, source=origin.format)
    return prompt.model_copy(update={"split": split_of(prompt.id, origin.heldout_share)})


def _responses(item: JudgedItem, prompt: Prompt) -> list[Response]:
    if not 2 <= len(item.texts) <= MAX_RESPONSES:
        raise RowProblem(f"has {len(item.texts)} responses, not 2 to {MAX_RESPONSES}")
    if len(set(item.texts)) < len(item.texts):
        raise RowProblem(
            "both responses are the same text" if len(item.texts) == 2 else "two responses are the same text"
        )
    policies = item.policies or (POLICY,) * len(item.texts)
    return [
        Response.make(prompt.id, text_of(text, "response"), policy=policy)
        for text, policy in zip(item.texts, policies, strict=True)
    ]


def _judgment(vote: Vote, task: Task, place_of: dict[int, int]) -> Judgment:
    ranking = tuple(tuple(sorted(place_of[k] for k in group)) for group in vote.choice.ranking)
    if ranking and sum(map(len, ranking)) != len(place_of):
        raise RowProblem(f"a ranking names {sum(map(len, ranking))} of {len(place_of)} responses")
    return Judgment(
        id="",
        task_id=task.id,
        rater_id=vote.rater.id,
        order_shown=tuple(place_of[k] for k in vote.shown),
        choice=Choice(ranking=ranking, both_bad=vote.choice.both_bad),
        spans=tuple(span.model_copy(update={"response": place_of[span.response]}) for span in vote.spans),
        **{"client": "import", "created_at": "", **vote.extra},
    )
