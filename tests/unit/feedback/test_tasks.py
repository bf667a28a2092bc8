"""Pairing, gold items and assignment, against brute force."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback import assign, demo_prompts, gold_score, pair_tasks
from backstay.feedback.tasks import distinct_texts, spread_pairs
from backstay.records import Prompt, Response, Task

PROMPTS = [prompt for prompt in demo_prompts() if prompt.tags["family"] == "refuse"][:20]
TEXTS = ("I can't help with that.", "Sure, take a ladder.", "First look around you.", "I won't do that.")


def answers(prompts: list[Prompt], texts: tuple[str, ...] = TEXTS) -> list[Response]:
    return [Response.make(prompt.id, text, policy="test") for prompt in prompts for text in texts]


def test_pairs_are_distinct_and_spread() -> None:
    batch = pair_tasks(PROMPTS, answers(PROMPTS), per_prompt=2, seed=1)
    assert len(batch.tasks) == 40
    for prompt in PROMPTS:
        shown = [r for task in batch.tasks if task.prompt_id == prompt.id for r in task.response_ids]
        assert Counter(shown) == dict.fromkeys({r.id for r in answers([prompt])}, 1)


def test_all_pairs_when_enough_are_asked_for() -> None:
    pairs = spread_pairs(list("abcd"), 99, np.random.default_rng(0))
    assert {frozenset(pair) for pair in pairs} == {frozenset(pair) for pair in combinations("abcd", 2)}
    assert len(pairs) == 6


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_every_response_appears_before_any_is_worn_out(count: int) -> None:
    for seed in range(20):
        pairs = spread_pairs(list("abcde"), count, np.random.default_rng(seed))
        used = Counter(name for pair in pairs for name in pair)
        assert max(used.values()) - min(used[name] for name in "abcde") <= 2
        assert len(used) == min(5, 2 * count)


def test_identical_texts_are_skipped_and_counted() -> None:
    responses = answers(PROMPTS[:1], ("Same  answer.", "Same answer.", "Other."))
    assert [r.text for r in distinct_texts(responses)] == ["Same  answer.", "Other."]
    batch = pair_tasks(PROMPTS[:2], responses, per_prompt=5)
    assert (len(batch.tasks), batch.identical_skipped, batch.prompts_without_pair) == (1, 1, 1)


def test_gold_items_are_clear_and_right() -> None:
    responses = answers(PROMPTS)
    batch = pair_tasks(PROMPTS, responses, per_prompt=6, gold_share=0.25, gold_gap=0.3, seed=2)
    assert (len(batch.tasks), batch.gold_wanted, batch.gold_set) == (120, 30, 30)
    prompt_of, text_of = {p.id: p for p in PROMPTS}, {r.id: r.text for r in responses}
    for task in batch.tasks:
        if task.gold is not None:
            scores = [gold_score(prompt_of[task.prompt_id], text_of[r], True).total for r in task.response_ids]
            assert scores[task.gold] - scores[1 - task.gold] >= 0.3


def test_too_few_clear_tasks_are_reported() -> None:
    responses = answers(PROMPTS, ("I can't help with that.", "I won't do that."))
    batch = pair_tasks(PROMPTS, responses, per_prompt=1, gold_share=0.5)
    assert (batch.gold_wanted, batch.gold_set) == (10, 0)


def test_the_order_within_a_pair_is_not_the_order_of_the_responses() -> None:
    responses = answers(PROMPTS, TEXTS[:2])
    first = [task.response_ids[0] for task in pair_tasks(PROMPTS, responses, per_prompt=1, seed=4).tasks]
    refusing = {r.id for r in responses if r.text == TEXTS[0]}
    assert 4 <= sum(response_id in refusing for response_id in first) <= 16


def test_tasks_depend_on_the_seed_alone() -> None:
    responses = answers(PROMPTS)
    one, same, other = (pair_tasks(PROMPTS, responses, per_prompt=2, gold_share=0.1, seed=s) for s in (5, 5, 6))
    assert one == same
    assert one.tasks != other.tasks


def test_assignment_is_balanced_and_without_repeats() -> None:
    tasks = [Task.make("prompt-x", (f"a{i}", f"b{i}"), wanted=3) for i in range(50)]
    raters = [f"rater-{i}" for i in range(7)]
    assigned = assign(tasks, raters, seed=0)
    loads = [len(found) for found in assigned.values()]
    assert sum(loads) == 150
    assert max(loads) - min(loads) <= 1
    assert Counter(task.id for found in assigned.values() for task in found) == {task.id: 3 for task in tasks}
    assert all(len({task.id for task in found}) == len(found) for found in assigned.values())


def test_too_few_raters_are_refused() -> None:
    with pytest.raises(UsageError, match="wants 3 raters but only 2 exist"):
        assign([Task.make("prompt-x", ("a", "b"), wanted=3)], ["r1", "r2"], seed=0)
