"""A crowd with known truth, for tests: honest raters, flippers, and a bloc that shares one made-up answer per pair."""

from dataclasses import dataclass

import numpy as np

from backstay.records import Choice, Judgment, Task


@dataclass(frozen=True)
class Crowd:
    """Records for `aggregate`, the truth per task id (1 = first response), and who is what."""

    tasks: list[Task]
    judgments: list[Judgment]
    truth: dict[str, int]
    accuracy: dict[str, float]
    kind: dict[str, str]


def simulate(
    seed: int,
    *,
    raters: int = 24,
    items: int = 300,
    per_item: int = 5,
    flippers: float = 0.0,
    bloc: float = 0.0,
    gold_share: float = 0.1,
    tie_rate: float = 0.05,
    position_bias: float = 0.0,
) -> Crowd:
    """Honest accuracy is uniform in 0.7..0.95, a flipper's is one minus that; rater i leans by +-position_bias.

    `accuracy` is averaged over both orders of display, as trust is.
    """
    rng = np.random.default_rng(seed)
    n_flip, n_bloc = round(raters * flippers), round(raters * bloc)
    kinds = np.array(["flip"] * n_flip + ["bloc"] * n_bloc + ["honest"] * (raters - n_flip - n_bloc))
    rng.shuffle(kinds)
    skill = rng.uniform(0.7, 0.95, raters)
    skill = np.where(kinds == "flip", 1.0 - skill, np.where(kinds == "bloc", 0.5, skill))
    lean = np.where(np.arange(raters) % 2 == 0, position_bias, -position_bias)
    truth, shared = rng.integers(0, 2, items), rng.integers(0, 2, items)
    tasks, judgments = [], []
    for i in range(items):
        gold = int(1 - truth[i]) if rng.random() < gold_share else None
        tasks.append(Task.make(f"prompt-{i}", (f"r-{i}-a", f"r-{i}-b"), gold=gold))
        for r in rng.choice(raters, per_item, replace=False):
            first = bool(rng.integers(0, 2))
            logit = np.log(skill[r] / (1 - skill[r])) * (1 if truth[i] else -1) + lean[r] * (1 if first else -1)
            says_a = bool(rng.random() < 1 / (1 + np.exp(-logit)))
            if kinds[r] == "bloc":
                says_a = bool(shared[i])
            choice = Choice.prefer(0, 1) if says_a else Choice.prefer(1, 0)
            if kinds[r] != "bloc" and rng.random() < tie_rate:
                choice = Choice.tie()
            judgments.append(
                Judgment(
                    id=f"j-{i}-{r}",
                    task_id=tasks[-1].id,
                    rater_id=f"rater-{r:03d}",
                    order_shown=(0, 1) if first else (1, 0),
                    choice=choice,
                    duration_ms=int(rng.integers(8_000, 40_000)),
                    created_at="2026-01-01T00:00:00Z",
                )
            )
    odds = np.log(skill / (1 - skill))
    accuracy = (1 / (1 + np.exp(-odds - lean)) + 1 / (1 + np.exp(-odds + lean))) / 2
    names = [f"rater-{r:03d}" for r in range(raters)]
    return Crowd(
        tasks,
        judgments,
        {task.id: int(t) for task, t in zip(tasks, truth, strict=True)},
        dict(zip(names, accuracy.tolist(), strict=True)),
        dict(zip(names, kinds.tolist(), strict=True)),
    )
