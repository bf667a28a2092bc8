"""Cohorts through `aggregate`: two groups of honest raters who prefer differently on a third of the pairs."""

import numpy as np
import pytest

from backstay.aggregate import AggregateSettings, Aggregation, aggregate
from backstay.records import Choice, Judgment, Rater, Task

ITEMS, RATERS, VOTES = 240, 24, 10


@pytest.fixture(scope="module")
def crowd() -> tuple[list[Task], list[Judgment], list[Rater], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.choice([-1, 1], ITEMS)
    differ = rng.random(ITEMS) < 0.33
    gold = ~differ & (rng.random(ITEMS) < 0.3)
    tasks = [Task.make(f"p{i:03}", ("x", "y"), gold=int(truth[i] < 0) if gold[i] else None) for i in range(ITEMS)]
    raters = [
        Rater(id=f"r{r:02}", display_name=f"r{r}", simulated=True, cohort={"language": "north" if r < 16 else "south"})
        for r in range(RATERS)
    ]
    judgments = []
    for i in range(ITEMS):
        for r in rng.choice(RATERS, VOTES, replace=False):
            own = -truth[i] if differ[i] and r >= 16 else truth[i]
            said = own if rng.random() < 0.9 else -own
            judgments.append(
                Judgment(id=f"j{i}-{r}", task_id=tasks[i].id, rater_id=f"r{r:02}", order_shown=(0, 1),
                         choice=Choice.prefer(0, 1) if said > 0 else Choice.prefer(1, 0), created_at="2026")
            )  # fmt: skip
    return tasks, judgments, raters, truth, differ


def run(
    crowd: tuple[list[Task], list[Judgment], list[Rater], np.ndarray, np.ndarray], **changes: object
) -> Aggregation:
    settings = AggregateSettings.model_validate({"folds": 0, "cohort_permutations": 199} | changes)
    return aggregate(crowd[0], crowd[1], settings, raters=crowd[2])


def test_without_a_field_nothing_is_looked_for(
    crowd: tuple[list[Task], list[Judgment], list[Rater], np.ndarray, np.ndarray],
) -> None:
    assert run(crowd).summary["cohorts"] is None
    assert run(crowd, cohort_field="country").summary["cohorts"] is None


def test_the_difference_is_found_and_costs_the_minority_no_trust(
    crowd: tuple[list[Task], list[Judgment], list[Rater], np.ndarray, np.ndarray],
) -> None:
    pooled, apart = run(crowd), run(crowd, cohort_field="language")
    told = apart.summary["cohorts"]
    assert told["differences"][0]["p_corrected"] <= 0.05
    assert {row["cohort"] for row in told["bias"]} == {"north", "south"}
    minority = [f"r{r:02}" for r in range(16, RATERS)]
    before = np.mean([row.trust for row in pooled.trust if row.rater_id in minority])
    after = np.mean([row.trust for row in apart.trust if row.rater_id in minority])
    assert before < 0.8
    assert after == pytest.approx(0.9, abs=0.05)


def test_the_rule_that_must_hold_for_every_cohort_gives_no_weight_to_what_divides_them(
    crowd: tuple[list[Task], list[Judgment], list[Rater], np.ndarray, np.ndarray],
) -> None:
    found = run(crowd, cohort_field="language", cohort_rule="min_over_cohorts")
    differ = {f"p{i:03}" for i in np.flatnonzero(crowd[4])}
    dropped = {pair.prompt_id for pair in found.pairs if pair.weight == 0.0}
    assert len(dropped & differ) > 0.6 * len(differ)
    assert len(dropped - differ) < 0.1 * ITEMS
    held = [pair for pair in found.pairs if pair.weight > 0.0 and pair.prompt_id not in differ]
    right = [(pair.p_a > 0.5) == (crowd[3][int(pair.prompt_id[1:])] > 0) for pair in held]
    assert np.mean(right) > 0.97
