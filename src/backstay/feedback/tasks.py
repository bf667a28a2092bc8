"""Tasks out of responses, gold items among them, and who is asked what."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.gold import gold_score
from backstay.records import Prompt, Response, Task


@dataclass(frozen=True)
class TaskBatch:
    """Tasks, and what was left out on the way to them."""

    tasks: list[Task]
    identical_skipped: int
    """Responses left out because an earlier response to the same prompt has the same text."""
    prompts_without_pair: int
    """Prompts with fewer than two distinct responses."""
    gold_wanted: int
    gold_set: int
    """Gold items made; below `gold_wanted` when too few tasks were clear."""


def pair_tasks(
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    *,
    per_prompt: int,
    gold_share: float = 0.0,
    gold_gap: float = 0.3,
    wanted: int = 1,
    seed: int = 0,
) -> TaskBatch:
    """Make up to `per_prompt` pairs of distinct responses a prompt, each response used about equally often.

    Gold items are drawn among tasks whose gold scores differ by at least `gold_gap`; with `gold_share` 0 nothing is
    scored, so prompts without a family tag are welcome then.
    """
    by_prompt: dict[str, list[Response]] = {prompt.id: [] for prompt in prompts}
    for response in responses:
        if response.prompt_id in by_prompt:
            by_prompt[response.prompt_id].append(response)
    distinct = {prompt_id: distinct_texts(found) for prompt_id, found in by_prompt.items()}
    tasks = [
        Task.make(prompt_id, pair, wanted=wanted)
        for index, (prompt_id, found) in enumerate(distinct.items())
        for pair in spread_pairs([r.id for r in found], per_prompt, np.random.default_rng([seed, 1, index]))
    ]
    gold_wanted = round(gold_share * len(tasks))
    settled = settle_gold(tasks, prompts, responses, gold_wanted, gold_gap, seed) if gold_wanted else tasks
    return TaskBatch(
        tasks=settled,
        identical_skipped=sum(len(by_prompt[key]) - len(distinct[key]) for key in by_prompt),
        prompts_without_pair=sum(len(found) < 2 for found in distinct.values()),
        gold_wanted=gold_wanted,
        gold_set=sum(task.gold is not None for task in settled),
    )


def distinct_texts(responses: Sequence[Response]) -> list[Response]:
    """The first response of each text; texts are equal when they differ in white space only."""
    first: dict[str, Response] = {}
    for response in responses:
        first.setdefault(" ".join(response.text.split()), response)
    return list(first.values())


def spread_pairs(ids: Sequence[str], count: int, rng: "np.random.Generator") -> list[tuple[str, str]]:
    """Up to `count` different pairs in random order, each next one of the ids that were used least so far."""
    left = [pair if rng.random() < 0.5 else pair[::-1] for pair in combinations(ids, 2)]
    left = [left[i] for i in rng.permutation(len(left))]
    used: Counter[str] = Counter()
    chosen: list[tuple[str, str]] = []
    while left and len(chosen) < count:
        pair = min(left, key=lambda p: (used[p[0]] + used[p[1]], max(used[p[0]], used[p[1]])))
        left.remove(pair)
        used.update(pair)
        chosen.append(pair)
    return chosen


def settle_gold(
    tasks: Sequence[Task], prompts: Sequence[Prompt], responses: Sequence[Response], count: int, gap: float, seed: int
) -> list[Task]:
    """The tasks with `gold` set on up to `count` random ones whose gold scores differ by at least `gap`."""
    prompt_of = {prompt.id: prompt for prompt in prompts}
    response_of = {response.id: response for response in responses}
    best: dict[str, int] = {}
    for task in tasks:
        shown = [response_of[response_id] for response_id in task.response_ids]
        totals = [gold_score(prompt_of[task.prompt_id], r.text, r.finished).total for r in shown]
        order = np.argsort(totals)
        if totals[order[-1]] - totals[order[-2]] >= gap:
            best[task.id] = int(order[-1])
    clear = sorted(best)
    drawn = np.random.default_rng([seed, 2]).permutation(len(clear))[:count]
    gold = {clear[i]: best[clear[i]] for i in drawn}
    return [task.model_copy(update={"gold": gold.get(task.id)}) for task in tasks]


def assign(tasks: Sequence[Task], rater_ids: Sequence[str], seed: int) -> dict[str, list[Task]]:
    """Who judges what: each task goes to `task.wanted` different raters, and loads differ by at most one.

    Each rater's tasks come in the order of assignment, which is random. Raises UsageError when too few raters exist.
    """
    if (most := max((task.wanted for task in tasks), default=0)) > len(rater_ids):
        raise UsageError(
            f"a task wants {most} raters but only {len(rater_ids)} exist",
            cure="lower rate.judgments_per_task or add raters",
        )
    rng = np.random.default_rng([seed, 3])
    assigned: dict[str, list[Task]] = {rater_id: [] for rater_id in rater_ids}
    for index in rng.permutation(len(tasks)):
        tie_break = dict(zip(rater_ids, rng.random(len(rater_ids)), strict=True))
        least = sorted(rater_ids, key=lambda rater_id: (len(assigned[rater_id]), tie_break[rater_id]))
        for rater_id in least[: tasks[index].wanted]:
            assigned[rater_id].append(tasks[index])
    return assigned
