"""Rating tasks out of kept exchanges: what was denied against an answer that was not, and answers to one prompt.

A notice of the guard is never an answer. A thumb becomes a vote only where the same client thumbed two answers to the
same prompt in opposite ways: it has compared them. Every other thumb says which prompts deserve a second answer.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import NamedTuple

from backstay.guard.harvest.kept_exchange import KeptDecision, KeptExchange, KeptRow, Thumb
from backstay.guard.harvest.store import HarvestStore
from backstay.records import Message, Prompt
from backstay.records.production import LABEL, Offered, ProductionTask, Source, Vote

DECLINING = "I can't help with that."
PER_PROMPT = 3
"""Tasks that compare answers to one prompt, at most."""


class Answer(NamedTuple):
    """One answer to a prompt, with the exchange it was given in; `only` where it was the only one of it."""

    row: KeptRow
    decision: KeptDecision
    only: bool

    @property
    def offered(self) -> Offered:
        """As it stands in a task."""
        kept = self.row.kept
        ids = tuple(one.id for one in kept.decisions)
        source = Source(exchange=kept.exchange, decisions=ids, policy=self.decision.policy, effect=self.decision.effect)
        return Offered(text=self.decision.text, model=kept.model, source=source)


class Tasks(NamedTuple):
    """Tasks, prompts that wait for a second answer, and exchanges that no task can be made of."""

    tasks: tuple[ProductionTask, ...]
    prompts: tuple[Prompt, ...]
    unfit: int


def tasks_of(rows: Sequence[KeptRow], store: HarvestStore, suspect: frozenset[str]) -> Tasks:
    """Tasks of kept exchanges; votes with a thumb among `suspect` are set apart."""
    prompts: dict[str, tuple[tuple[Message, ...], list[Answer]]] = {}
    unfit = 0
    for row in rows:
        messages = messages_of(row.kept)
        answers = row.kept.answers
        if messages is None or not answers:
            unfit += 1
            continue
        known = prompts.setdefault(Prompt.make(messages, source="production").id, (messages, []))
        known[1].extend(Answer(row, one, len(answers) == 1) for one in answers)
    tasks: list[ProductionTask] = []
    waiting: list[Prompt] = []
    for messages, found in prompts.values():
        distinct = _distinct(found)
        made = [*_denied_tasks(messages, distinct), *_answer_tasks(messages, distinct, found, store, suspect)]
        tasks.extend(made)
        if not made and any(answer.row.thumbs for answer in found):
            waiting.append(_waiting(messages, found))
    return Tasks(tuple(tasks), tuple(waiting), unfit)


def messages_of(kept: KeptExchange) -> tuple[Message, ...] | None:
    """The dialogue that the answer was given to; None where raters cannot be shown it as one.

    Outputs of tools have no place in a dialogue, and several prompts in one request have several answers.
    """
    if kept.api == "completions" and len(kept.turns) != 1:
        return None
    merged: list[Message] = []
    for turn in kept.turns:
        if turn.role == "tool":
            return None
        if merged and merged[-1].role == turn.role:
            merged[-1] = Message(role=turn.role, content=f"{merged[-1].content}\n{turn.text}")
        else:
            merged.append(Message(role=turn.role, content=turn.text))
    return tuple(merged) if merged and merged[-1].role == "user" else None


def _distinct(answers: Iterable[Answer]) -> list[Answer]:
    first: dict[str, Answer] = {}
    for answer in answers:
        first.setdefault(" ".join(answer.decision.text.split()), answer)
    return list(first.values())


def _denied_tasks(messages: tuple[Message, ...], answers: Sequence[Answer]) -> list[ProductionTask]:
    """Whether what was denied is acceptable: against an answer that was allowed, else against declining."""
    allowed = next((answer.offered for answer in answers if answer.decision.effect == "allow"), None)
    return [
        ProductionTask(
            why="denied_answer",
            messages=messages,
            responses=(answer.offered, allowed or Offered(text=DECLINING)),
            dimension="harmless",
        )
        for answer in answers
        if answer.decision.effect == "deny" and answer.decision.text.strip() != DECLINING
    ]


def _answer_tasks(
    messages: tuple[Message, ...],
    distinct: Sequence[Answer],
    every: Sequence[Answer],
    store: HarvestStore,
    suspect: frozenset[str],
) -> list[ProductionTask]:
    """Pairs of answers that were allowed, those with votes first."""
    found = []
    allowed = [answer for answer in distinct if answer.decision.effect == "allow"]
    for a, b in combinations(allowed, 2):
        votes = _votes(_same(a, every), _same(b, every), store)
        sound = tuple(vote for vote in votes if not suspect.intersection(vote.feedback))
        found.append(
            ProductionTask(
                why="answers",
                messages=messages,
                responses=(a.offered, b.offered),
                dimension="overall",
                votes=sound,
                suspect_votes=tuple(vote for vote in votes if vote not in sound),
            )
        )
    return sorted(found, key=lambda task: -len(task.votes))[:PER_PROMPT]


def _same(answer: Answer, every: Sequence[Answer]) -> list[Answer]:
    """All exchanges in which this answer was the only one: a thumb on several says nothing of each."""
    text = answer.decision.text.split()
    return [one for one in every if one.only and one.decision.text.split() == text]


def _votes(a: Sequence[Answer], b: Sequence[Answer], store: HarvestStore) -> tuple[Vote, ...]:
    """Of every client that thumbed one up and the other down."""
    first, second = _thumbs(a), _thumbs(b)
    votes = []
    for principal in sorted(first.keys() & second.keys()):
        up, down = first[principal], second[principal]
        if up.score == down.score:
            continue
        latest = max(up.at_ms, down.at_ms)
        votes.append(
            Vote(
                rater=store.pseudonym(principal),
                winner=0 if up.score > down.score else 1,
                at=datetime.fromtimestamp(latest / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                comment="\n".join(thumb.comment for thumb in (up, down) if thumb.comment),
                feedback=(up.id, down.id),
            )
        )
    return tuple(votes)


def _thumbs(answers: Sequence[Answer]) -> dict[str, Thumb]:
    given = sorted((thumb for answer in answers for thumb in answer.row.latest), key=lambda thumb: thumb.id)
    return {thumb.principal: thumb for thumb in given}


def _waiting(messages: tuple[Message, ...], answers: Sequence[Answer]) -> Prompt:
    sources = [answer.offered.source for answer in answers]
    tags = {"label": LABEL, "sources": [source.payload() for source in sources if source is not None]}
    return Prompt.make(messages, source="production", tags=tags)
