"""Whatever raters send, aggregation answers with finite numbers: random rankings, ties, gold, audits and settings."""

import numpy as np
import pytest

from backstay.aggregate import AggregateSettings, aggregate
from backstay.records import Audit, Choice, Dimension, Judgment, Rater, Task, canonical_json

DIMENSIONS: tuple[Dimension, ...] = ("overall", "helpful")


def random_tasks(rng: np.random.Generator, responses: int) -> list[Task]:
    found = {}
    for i in range(int(rng.integers(1, 25))):
        shared = rng.random() < 0.5
        ids = tuple(f"r{rng.integers(0, 6)}-{k}" if shared else f"u{i}-{k}" for k in range(responses))
        gold = int(rng.integers(0, responses)) if rng.random() < 0.3 else None
        task = Task.make(f"p{rng.integers(0, 5)}", ids, gold=gold, dimension=DIMENSIONS[int(rng.integers(0, 2))])
        found[task.id] = task
    return list(found.values())


def random_judgment(rng: np.random.Generator, task: Task, rater: str) -> Judgment:
    order = tuple(int(place) for place in rng.permutation(len(task.response_ids)))
    kinds = (Choice(ranking=tuple((place,) for place in order)), Choice(ranking=(order,)), Choice(both_bad=True))
    return Judgment(
        id=f"{task.id}-{rater}",
        task_id=task.id,
        rater_id=rater,
        order_shown=order if rng.random() < 0.7 else (),
        choice=kinds[int(rng.choice(3, p=(0.7, 0.15, 0.15)))],
        created_at="2026",
    )


@pytest.mark.parametrize("seed", range(24))
def test_random_crowds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tasks = random_tasks(rng, int(rng.integers(2, 5)))
    names = [f"r{r}" for r in range(int(rng.integers(1, 12)))]
    judgments = [random_judgment(rng, task, name) for task in tasks for name in names if rng.random() < 0.6]
    settings = AggregateSettings.model_validate(
        {
            "coupling": float(rng.choice([0.0, 0.6, 1.0])),
            "adversarial": str(rng.choice(["invert", "ignore"])),
            "folds": int(rng.choice([0, 2, 5])),
            "position_votes": float(rng.choice([0.0, 8.0])),
            "cohort_field": str(rng.choice(["", "language"])),
            "cohort_rule": str(rng.choice(["pooled", "per_cohort", "min_over_cohorts"])),
            "cohort_permutations": 19,
        }
    )
    found = aggregate(
        tasks,
        judgments,
        settings,
        topics={f"p{k}": f"topic {k}" for k in range(5)},
        audits=[
            Audit(prompt_id=task.prompt_id, a=task.response_ids[0], b=task.response_ids[1], dimension=task.dimension,
                  better="a")
            for task in tasks if rng.random() < 0.2
        ],
        raters=[Rater(id=name, display_name=name, cohort={"language": str(rng.choice(["x", "y"]))}) for name in names],
    )  # fmt: skip
    for pair in found.pairs:
        assert 0.0 < pair.p_a < 1.0
        assert np.isfinite([pair.weight, pair.dispute]).all()
    for row in found.trust:
        assert 0.0 <= row.low <= row.trust <= row.high <= 1.0
    assert canonical_json(found.summary)
