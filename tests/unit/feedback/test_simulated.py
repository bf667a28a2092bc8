"""Simulated raters: labelled, reproducible, and as (un)reliable as their kind says."""

from collections import defaultdict
from datetime import datetime
from functools import cache
from statistics import median

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback import (
    PoolSettings,
    RateSettings,
    demo_prompts,
    gold_score,
    pair_tasks,
    rater_kinds,
    simulate_judgments,
    simulated_raters,
)
from backstay.feedback.gold import GoldScore
from backstay.feedback.rater_kinds import (
    Sight,
    careful,
    colluding,
    flatterer_loving,
    flipping,
    key_bit,
    length_loving,
    position_biased,
)
from backstay.records import Judgment, Rater, Response, Task

SETTINGS = RateSettings(judgments_per_task=24, gold_share=0.0)
PROMPTS = [prompt for prompt in demo_prompts() if prompt.split == "heldout"]
GENERIC = (
    "I can't help with that request.",
    "Yes, you are right about it.",
    "Water, salt, and a",
    "Just do it slowly.",
)
RESPONSES = [Response.make(p.id, text, policy="test", finished=text[-1] == ".") for p in PROMPTS for text in GENERIC]


@cache
def batch() -> tuple[list[Task], list[Rater], list[Judgment]]:
    tasks = pair_tasks(PROMPTS, RESPONSES, per_prompt=2, wanted=24, seed=3).tasks
    raters, judgments = simulate_judgments(PROMPTS, RESPONSES, tasks, SETTINGS)
    return tasks, raters, judgments


@cache
def gaps() -> dict[str, float]:
    """Gold gap by task, looked up anew."""
    prompt_of, response_of = {p.id: p for p in PROMPTS}, {r.id: r for r in RESPONSES}
    found = {}
    for task in batch()[0]:
        a, b = (response_of[r] for r in task.response_ids)
        prompt = prompt_of[task.prompt_id]
        found[task.id] = gold_score(prompt, a.text, a.finished).total - gold_score(prompt, b.text, b.finished).total
    return found


def winner(judgment: Judgment) -> int | None:
    ranking = judgment.choice.ranking
    return ranking[0][0] if len(ranking) == 2 else None


@cache
def accuracy_by_rater() -> dict[str, float]:
    right: dict[str, list[bool]] = defaultdict(list)
    for judgment in batch()[2]:
        gap, won = gaps()[judgment.task_id], winner(judgment)
        if abs(gap) >= 0.3 and won is not None:
            right[judgment.rater_id].append(won == (0 if gap > 0 else 1))
    return {rater_id: float(np.mean(values)) for rater_id, values in right.items()}


def of_kind(kind: str) -> list[str]:
    return [rater_id for rater_id, found in rater_kinds(SETTINGS).items() if found == kind]


def test_everything_says_simulated() -> None:
    _, raters, judgments = batch()
    assert len(raters) == 24
    assert all(rater.simulated and rater.display_name.endswith("(simulated)") for rater in raters)
    assert {judgment.client for judgment in judgments} == {"simulated"}
    assert all(j.rationale.startswith("[simulated] ") for j in judgments if j.rationale)
    assert any(j.rationale for j in judgments)


def test_the_kind_is_not_in_what_aggregation_reads() -> None:
    _, raters, judgments = batch()
    kinds = set(rater_kinds(SETTINGS).values())
    assert all(rater.cohort == {} for rater in raters)
    for text in [j.rater_id for j in judgments] + [j.rationale for j in judgments]:
        assert not any(kind in text for kind in kinds)


def test_each_rater_judges_each_assigned_task_once() -> None:
    tasks, raters, judgments = batch()
    assert len(judgments) == 24 * len(tasks)
    assert len({(j.task_id, j.rater_id) for j in judgments}) == len(judgments) == len({j.id for j in judgments})
    assert {j.rater_id for j in judgments} == {rater.id for rater in raters}


def test_kinds_are_as_reliable_as_stated() -> None:
    accuracy = accuracy_by_rater()
    assert min(accuracy[r] for r in of_kind("careful")) > 0.97
    assert all(0.7 < accuracy[r] < 0.99 for r in of_kind("noisy"))
    assert all(0.55 < accuracy[r] < 0.85 for r in of_kind("hurried"))
    assert max(accuracy[r] for r in of_kind("flipping")) < 0.03
    assert all(0.3 < accuracy[r] < 0.7 for r in of_kind("colluding"))


def test_colluders_are_of_one_mind_and_the_key_is_a_fair_coin() -> None:
    votes = defaultdict(set)
    for judgment in batch()[2]:
        if judgment.rater_id in of_kind("colluding"):
            votes[judgment.task_id].add(winner(judgment))
    assert all(len(found) == 1 for found in votes.values())
    ones = sum(key_bit(0, f"task-{i}") for i in range(2000))
    assert abs(ones - 1000) < 4 * np.sqrt(500)


def test_durations_and_order_shown() -> None:
    durations = defaultdict(list)
    for judgment in batch()[2]:
        assert judgment.duration_ms is not None
        durations[rater_kinds(SETTINGS)[judgment.rater_id]].append(judgment.duration_ms)
    assert 1500 < median(durations["hurried"]) < 2200
    assert 16_000 < median(durations["flipping"]) < 20_000
    first = [judgment.order_shown[0] for judgment in batch()[2]]
    assert abs(float(np.mean(first)) - 0.5) < 4 * 0.5 / np.sqrt(len(first))


def test_times_rise_and_leave_room_for_the_work() -> None:
    judgments = batch()[2]
    assert [j.created_at for j in judgments] == sorted(j.created_at for j in judgments)
    by_rater = defaultdict(list)
    for judgment in judgments:
        by_rater[judgment.rater_id].append(judgment)
    for found in by_rater.values():
        times = [datetime.fromisoformat(j.created_at) for j in found]
        for before, after, judgment in zip(times, times[1:], found[1:], strict=False):
            assert (after - before).total_seconds() * 1000 >= (judgment.duration_ms or 0)


def test_the_same_seed_gives_the_same_journal_and_another_does_not() -> None:
    tasks, _, judgments = batch()
    assert simulate_judgments(PROMPTS, RESPONSES, tasks, SETTINGS)[1] == judgments
    other = RateSettings(judgments_per_task=24, gold_share=0.0, seed=1)
    assert simulate_judgments(PROMPTS, RESPONSES, tasks, other)[1] != judgments


def test_a_new_rater_does_not_change_what_others_choose() -> None:
    tasks = batch()[0]
    larger = RateSettings(judgments_per_task=24, pool=PoolSettings(careful=8, hurried=3))
    choices = {(j.task_id, j.rater_id): j.choice for j in simulate_judgments(PROMPTS, RESPONSES, tasks, larger)[1]}
    common = [j for j in batch()[2] if (j.task_id, j.rater_id) in choices]
    assert len(common) > 2000
    assert all(choices[j.task_id, j.rater_id] == j.choice for j in common)


def test_careful_raters_flag_harm_by_index() -> None:
    tasks = {task.id: task for task in batch()[0]}
    text_of = {response.id: response.text for response in RESPONSES}
    family_of = {prompt.id: prompt.tags["family"] for prompt in PROMPTS}
    for judgment in batch()[2]:
        task = tasks[judgment.task_id]
        flagged = family_of[task.prompt_id] == "refuse" and judgment.rater_id in of_kind("careful")
        harmful = [i for i, r in enumerate(task.response_ids) if text_of[r] != GENERIC[0]] if flagged else []
        assert judgment.flags == tuple(f"harmful:{i}" for i in harmful)


def test_ids_are_opaque_and_do_not_depend_on_other_kinds() -> None:
    fewer = RateSettings(pool=PoolSettings(noisy=1, colluding=0))
    assert set(rater_kinds(fewer)) < set(rater_kinds(SETTINGS))
    assert all(s.rater.id.startswith("rater-") and len(s.rater.id) == 26 for s in simulated_raters(SETTINGS))


def test_tasks_that_cannot_be_shown_are_refused() -> None:
    three = Task.make(PROMPTS[0].id, tuple(r.id for r in RESPONSES[:3]))
    with pytest.raises(UsageError, match="compare two responses"):
        simulate_judgments(PROMPTS, RESPONSES, [three], SETTINGS)
    lost = Task.make(PROMPTS[0].id, ("response-x", "response-y"))
    with pytest.raises(UsageError, match="was not given"):
        simulate_judgments(PROMPTS, RESPONSES, [lost], SETTINGS)


def sight(totals: tuple[float, float], **changes: object) -> Sight:
    texts, agreed = changes.pop("texts", ("a b c", "a b c")), changes.pop("agreed", (False, False))
    refused = changes.pop("refused", (False, False))
    assert isinstance(agreed, tuple)
    assert isinstance(refused, tuple)
    scores = tuple(
        GoldScore(total=t, parts={"family": t, "finished": 1.0, "clean": 1.0}, refused=r, agreed=a)
        for t, r, a in zip(totals, refused, agreed, strict=True)
    )
    defaults = {"task_id": "t", "family": "plain", "first_shown": 0, "seed": 0, "collusion": "random-side"}
    return Sight(texts=texts, scores=scores, **(defaults | changes))  # type: ignore[arg-type]  # built from a table


def mean_margin(perceive: object, pair: Sight) -> float:
    rng = np.random.default_rng(0)
    assert callable(perceive)
    return float(np.mean([perceive(pair, rng) for _ in range(400)]))


def test_margins_have_the_stated_means() -> None:
    """Expectations: the noise of a careful rater has mean 0 and standard error 0.08 / 20 = 0.004."""
    assert mean_margin(careful, sight((0.9, 0.4))) == pytest.approx(0.5, abs=0.016)
    assert mean_margin(flipping, sight((0.9, 0.4))) == pytest.approx(-0.5, abs=0.016)
    assert mean_margin(position_biased, sight((0.5, 0.5), first_shown=1)) == pytest.approx(-0.5, abs=0.016)
    assert mean_margin(flatterer_loving, sight((0.2, 1.0), agreed=(True, False))) == pytest.approx(0.4, abs=0.016)
    longer = sight((0.25, 0.25), texts=("w " * 11, "w w w"))
    assert mean_margin(length_loving, longer) == pytest.approx(0.5 * np.tanh(1.0), abs=0.016)


def test_colluders_against_refusal_are_careful_elsewhere() -> None:
    pair = sight((1.0, 0.2), family="refuse", refused=(True, False), collusion="against-refusal")
    assert mean_margin(colluding, pair) == -1.0
    plain = sight((1.0, 0.2), refused=(True, False), collusion="against-refusal")
    assert mean_margin(colluding, plain) == pytest.approx(0.8, abs=0.016)
