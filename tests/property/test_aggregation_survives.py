"""Whatever raters send, aggregation answers with finite numbers: random rankings, ties, gold, audits and settings."""

from collections.abc import Sequence

import numpy as np
import pytest

from backstay.aggregate import AggregateSettings, Aggregation, aggregate
from backstay.aggregate.columns import Index
from backstay.aggregate.votes import Floats, Item
from backstay.records import Audit, Choice, Dimension, Judgment, Rater, Task, canonical_json

TOPICS = ("topic 0", "(earlier)", "", "helpful", "\x1b[2J")
DIMENSIONS: tuple[Dimension, ...] = ("overall", "helpful")
MOMENTS = (
    "2026",
    "",
    "not a time",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:03Z",
    "2026-01-01T02:00:00+02:00",
    "\u202e",
)
CLIENTS = ("", "web", "\x00", "a" * 5000)
RATIONALES = ("", "short", "The first answers what was asked and the second does not.", "\ud7ff" * 50, "\n" * 400)


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
        created_at=str(rng.choice(MOMENTS)),
        client=str(rng.choice(CLIENTS)),
        rationale=str(rng.choice(RATIONALES)),
    )


def random_witness(items: Sequence[Item], log_odds: Floats, topic: Index) -> Floats:
    return np.random.default_rng(len(items)).normal(size=len(items))


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
        topics={f"p{k}": TOPICS[k] for k in range(5)},
        audits=[
            Audit(prompt_id=task.prompt_id, a=task.response_ids[0], b=task.response_ids[1], dimension=task.dimension,
                  better="a")
            for task in tasks if rng.random() < 0.2
        ],
        raters=[Rater(id=name, display_name=name, cohort={"language": str(rng.choice(["x", "y"]))}) for name in names],
        witness=random_witness if rng.random() < 0.5 else None,
    )  # fmt: skip
    assert_sound(found)


def assert_sound(found: Aggregation) -> None:
    for pair in found.pairs:
        assert 0.0 < pair.p_a < 1.0
        assert np.isfinite([pair.weight, pair.dispute]).all()
    for row in found.trust:
        assert 0.0 <= row.low <= row.trust <= row.high <= 1.0
    assert canonical_json(found.summary)


@pytest.mark.parametrize("seed", range(4))
def test_every_context_at_once(seed: int) -> None:
    """Two dimensions, raters who turn, a bloc that lies about one topic, audits, cohorts and a witness."""
    rng = np.random.default_rng(seed)
    tasks, judgments, truth = [], [], {}
    for i in range(480):
        task = Task.make(f"p{i:03}", (f"{i}-x", f"{i}-y"), dimension=DIMENSIONS[i % 2],
                         gold=int(rng.integers(2)) if i % 9 == 0 else None)  # fmt: skip
        better = int(rng.integers(2)) if task.gold is None else task.gold
        tasks.append(task)
        truth[task.id] = better
        for r in rng.choice(24, 5, replace=False):
            copied = "because I was told to say so" if r < 4 else ""
            lies = (r < 8 and i % 6 == 0 and task.gold is None) or (8 <= r < 12 and i > 240)
            chosen = better if (rng.random() < 0.9) != lies else 1 - better
            judgments.append(
                Judgment(id=f"{i}-{r}", task_id=task.id, rater_id=f"r{r:02}", created_at=f"2026-01-01T{i:05}",
                         order_shown=(0, 1), choice=Choice.prefer(chosen, 1 - chosen),
                         client="booth" if r < 8 else f"own {r}", rationale=copied)
            )  # fmt: skip
    audits = [
        Audit(prompt_id=t.prompt_id, a=t.response_ids[0], b=t.response_ids[1], dimension=t.dimension,
              better="ab"[truth[t.id]]) for t in tasks[6::18]
    ]  # fmt: skip
    people = [Rater(id=f"r{r:02}", display_name="x", cohort={"language": "xy"[r % 2]}) for r in range(24)]
    settings = AggregateSettings(cohort_field="language", cohort_permutations=19, audit_share=0.05)
    found = aggregate(tasks, judgments, settings, topics={f"p{i:03}": f"topic {i % 6}" for i in range(480)},
                      audits=audits, raters=people, witness=random_witness)  # fmt: skip
    assert_sound(found)
    assert {row["rater"] for row in found.summary["shifts"]} & {"r08", "r09", "r10", "r11"}
    right = [(p.p_a > 0.5) == (truth[tasks[int(p.prompt_id[1:])].id] == 0) for p in found.pairs]
    assert np.mean(right) > 0.9
