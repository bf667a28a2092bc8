"""The first attack: a share of the raters answers the opposite of what it believes. Everything here is simulated.

Both arms see the same judgments. The undefended one does what most pipelines do: the majority of votes is the label,
every pair weighs 1, nothing is screened. The defended one aggregates with rater reliability, anchored by gold items,
and trains on what screening accepts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate import AggregateSettings, aggregate, collect_votes, majority_share
from backstay.errors import UsageError
from backstay.evaluate.bootstrap import Interval, crossed_interval
from backstay.feedback import RateSettings, gold_score, simulate_judgments, with_liars
from backstay.records import Judgment, Pair, Prompt, Response, Task
from backstay.redteam.linear_reward import Fit, Floats, fit_linear_bt
from backstay.redteam.settings import RedteamSettings
from backstay.screen import Baseline, ScreenSettings, load_baseline, screen

Arm = Literal["undefended", "defended"]
NOTE = (
    "SIMULATED: raters are programs and the truth is the gold rule. A linear Bradley-Terry model on frozen features "
    "stands for the reward model. Gold items anchor the defended arm only."
)
_SEED_STRIDE = 1009


@dataclass(frozen=True)
class Ground:
    """What all repetitions share: the tasks with their gold items, features, gold scores and the clean test pairs."""

    prompts: Sequence[Prompt]
    responses: Sequence[Response]
    tasks: Sequence[Task]
    feature_of: Mapping[str, NDArray[Any]]
    gold_of: Mapping[str, float]
    better: Sequence[str]
    worse: Sequence[str]
    test_prompts: Sequence[str]


@dataclass(frozen=True)
class Labels:
    """N training pairs of one arm: response ids, P(a over b), weights, and which of them are gold items."""

    a: Sequence[str]
    b: Sequence[str]
    p_a: Floats
    weight: Floats
    is_gold: NDArray[np.bool_]


def label_flip_matrix(
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    tasks: Sequence[Task],
    features: Mapping[str, NDArray[Any]],
    heldout: Sequence[str],
    settings: RedteamSettings,
    *,
    rate: RateSettings,
    aggregation: AggregateSettings | None = None,
    screening: ScreenSettings | None = None,
    fit: Fit | None = None,
) -> dict[str, Any]:
    """Reward accuracy on clean held-out pairs for each flipping share, with and without defences.

    `features` maps response ids to vectors (F); `heldout` names the prompts whose responses are only tested on, tasks
    about them are left out. Gold items are those that `tasks` carry. With `screening` None nothing is screened in
    the defended arm, and the result says so. The keys are documented in docs/redteam/label-flip.md.

    Raises UsageError when no task or no test pair is left, or when a response has no features.
    """
    ground = _ground(prompts, responses, tasks, features, heldout, settings.heldout_gap)
    fit = fit or partial(fit_linear_bt, l2=settings.l2)
    defence = _Defence(aggregation, screening, load_baseline(screening.baseline) if screening else None)
    rows, differences = [], []
    for share in settings.flip_shares:
        runs = [
            _repetition(ground, _pool(rate, share, settings, number), defence, fit) for number in range(settings.seeds)
        ]
        liars = with_liars(rate, share).pool.flipping
        rows += [
            _row(ground, share, liars, arm, [run[arm] for run in runs], settings) for arm in ("undefended", "defended")
        ]
        differences.append({"share": share, **_difference(ground, runs, settings)})
    return {
        "attack": "label_flip",
        "simulated": True,
        "note": NOTE,
        "raters": rate.pool.size,
        "judgments_per_task": rate.judgments_per_task,
        "tasks": len(ground.tasks),
        "gold_items": sum(task.gold is not None for task in ground.tasks),
        "heldout_pairs": len(ground.better),
        "heldout_prompts": len(set(ground.test_prompts)),
        "seeds": settings.seeds,
        "level": settings.level,
        "screened": screening is not None,
        "rows": rows,
        "differences": differences,
    }


@dataclass(frozen=True)
class _Defence:
    aggregation: AggregateSettings | None
    screening: ScreenSettings | None
    baseline: Baseline | None


@dataclass(frozen=True)
class Outcome:
    """One arm of one repetition: correctness (0, 0.5, 1) of each test pair, label accuracy, training pairs."""

    correct: Floats
    label_accuracy: float | None
    pairs: int


def _ground(
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    tasks: Sequence[Task],
    features: Mapping[str, NDArray[Any]],
    heldout: Sequence[str],
    gap: float,
) -> Ground:
    kept_out = set(heldout)
    by_id = {prompt.id: prompt for prompt in prompts}
    gold_of = {
        r.id: gold_score(by_id[r.prompt_id], r.text, r.finished).total for r in responses if r.prompt_id in by_id
    }
    train = [task for task in tasks if task.prompt_id not in kept_out]
    better, worse, test_prompts = _test_pairs([r for r in responses if r.prompt_id in kept_out], gold_of, gap)
    if not train or not better:
        raise UsageError(
            f"the label-flip attack has {len(train)} tasks to train on and {len(better)} clean pairs to test on",
            cure="give it tasks about prompts that are not held out, and several responses to held-out prompts",
        )
    used = {*better, *worse, *(response for task in train for response in task.response_ids)}
    if missing := sorted(used - set(features))[:3]:
        raise UsageError(f"responses without features: {missing}", cure="pass the features of every response")
    return Ground(prompts, responses, train, features, gold_of, better, worse, test_prompts)


def _test_pairs(
    responses: Sequence[Response], gold_of: Mapping[str, float], gap: float
) -> tuple[list[str], list[str], list[str]]:
    by_prompt: dict[str, list[str]] = {}
    for response in responses:
        by_prompt.setdefault(response.prompt_id, []).append(response.id)
    found = []
    for prompt_id in sorted(by_prompt):
        for first, second in combinations(sorted(by_prompt[prompt_id]), 2):
            worse, better = sorted((first, second), key=lambda response: gold_of[response])
            if gold_of[better] > gold_of[worse] and gold_of[better] - gold_of[worse] >= gap:
                found.append((better, worse, prompt_id))
    return [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]


def _pool(rate: RateSettings, share: float, settings: RedteamSettings, number: int) -> RateSettings:
    seed = settings.seed + _SEED_STRIDE * (number + 1)
    return with_liars(rate, share).model_copy(update={"seed": seed})


def _repetition(ground: Ground, pool: RateSettings, defence: _Defence, fit: Fit) -> dict[Arm, Outcome]:
    _, judgments = simulate_judgments(ground.prompts, ground.responses, ground.tasks, pool)
    labels: dict[Arm, Labels] = {
        "undefended": majority_labels(ground.tasks, judgments),
        "defended": pair_labels(_defended_pairs(ground, judgments, defence)),
    }
    return {arm: _outcome(ground, found, fit, pool.seed) for arm, found in labels.items()}


def majority_labels(tasks: Sequence[Task], judgments: Sequence[Judgment]) -> Labels:
    """The undefended arm: the side with more votes is right, a draw is one half, every pair weighs 1.

    Gold items are marked, so that label accuracy can leave them out in both arms, but their answer is not looked at.
    """
    votes = collect_votes(tasks, judgments)
    lead = np.sign(np.round(majority_share(votes) - 0.5, 9))
    return Labels(
        a=[item.a for item in votes.items],
        b=[item.b for item in votes.items],
        p_a=(lead + 1.0) / 2.0,
        weight=np.ones(votes.n_items),
        is_gold=~np.isnan(votes.gold),
    )


def pair_labels(pairs: Sequence[Pair]) -> Labels:
    """The defended arm: accepted and released pairs with their probabilities and weights."""
    kept = [pair for pair in pairs if pair.status in ("accepted", "released")]
    return Labels(
        a=[pair.a for pair in kept],
        b=[pair.b for pair in kept],
        p_a=np.array([pair.p_a for pair in kept]),
        weight=np.array([pair.weight for pair in kept]),
        is_gold=np.array([bool(pair.provenance.get("gold")) for pair in kept], dtype=np.bool_),
    )


def _defended_pairs(ground: Ground, judgments: Sequence[Judgment], defence: _Defence) -> list[Pair]:
    believed = aggregate(ground.tasks, judgments, defence.aggregation)
    if defence.screening is None:
        return [pair.model_copy(update={"status": "accepted"}) for pair in believed.pairs]
    return screen(
        believed.pairs,
        ground.prompts,
        ground.responses,
        ground.tasks,
        judgments,
        believed.trust,
        settings=defence.screening,
        baseline=defence.baseline,
    ).pairs


def _outcome(ground: Ground, labels: Labels, fit: Fit, seed: int) -> Outcome:
    if not len(labels.a):
        return Outcome(np.full(len(ground.better), 0.5), None, 0)
    w = fit(_stack(ground, labels.a), _stack(ground, labels.b), labels.p_a, labels.weight, seed)
    margin = _stack(ground, ground.better) @ w - _stack(ground, ground.worse) @ w
    return Outcome((np.sign(margin) + 1.0) / 2.0, _label_accuracy(labels, ground.gold_of), len(labels.a))


def _stack(ground: Ground, ids: Sequence[str]) -> Floats:
    return np.array([ground.feature_of[response] for response in ids], dtype=np.float64)


def _label_accuracy(labels: Labels, gold_of: Mapping[str, float]) -> float | None:
    """Share of pairs whose label points to the higher gold score; gold items and ties of the gold rule do not count."""
    gap = np.array([gold_of[a] - gold_of[b] for a, b in zip(labels.a, labels.b, strict=True)])
    counted = (gap != 0.0) & ~labels.is_gold
    if not counted.any():
        return None
    return float(np.mean((np.sign(gap[counted]) * np.sign(labels.p_a[counted] - 0.5) + 1.0) / 2.0))


def _row(
    ground: Ground, share: float, liars: int, arm: Arm, runs: Sequence[Outcome], settings: RedteamSettings
) -> dict[str, Any]:
    interval = _interval(ground, np.array([run.correct for run in runs]), settings)
    labels = [run.label_accuracy for run in runs if run.label_accuracy is not None]
    return {
        "share": share,
        "flipping_raters": liars,
        "arm": arm,
        "accuracy": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "seed_accuracies": [float(np.mean(run.correct)) for run in runs],
        "label_accuracy": float(np.mean(labels)) if labels else None,
        "training_pairs": float(np.mean([run.pairs for run in runs])),
    }


def _difference(ground: Ground, runs: Sequence[Mapping[Arm, Outcome]], settings: RedteamSettings) -> dict[str, Any]:
    """Defended minus undefended, on the same repetitions and prompts."""
    gain = np.array([run["defended"].correct - run["undefended"].correct for run in runs])
    interval = _interval(ground, gain, settings)
    return {**interval._asdict(), "excludes_zero": interval.excludes_zero}


def _interval(ground: Ground, value: Floats, settings: RedteamSettings) -> Interval:
    """Interval of K repetitions of N test pairs, clustered by prompt."""
    names, cluster = np.unique(np.array(ground.test_prompts), return_inverse=True)
    member = np.eye(len(names))[cluster]
    return crossed_interval(
        value @ member, member.sum(axis=0), replicates=settings.bootstrap, seed=settings.seed, level=settings.level
    )
