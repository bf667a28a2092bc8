"""Raters in several dimensions: priors from a rater's other voices, and what they buy."""

import numpy as np
import pytest
from scipy.stats import betabinom
from simulated_columns import simulate_columns

from backstay.aggregate import AggregateSettings, VoteColumns, aggregate, fit_columns
from backstay.aggregate.columns import Index
from backstay.aggregate.incremental import FitState
from backstay.aggregate.population import fit_prior
from backstay.aggregate.voices import SAMENESS, Voices, set_apart, tied_priors, voices_by
from backstay.aggregate.votes import Floats, Ints
from backstay.errors import UsageError
from backstay.records import Choice, Dimension, Judgment, Task

SETTINGS = AggregateSettings()


def counts(
    seed: int, sameness: float, raters: int = 400, contexts: int = 2, judged: int = 12
) -> tuple[Index, Index, Floats, Floats]:
    rng = np.random.default_rng(seed)
    general = rng.beta(8.0, 3.0, raters)
    own = rng.beta(np.repeat(general, contexts) * sameness, np.repeat(1.0 - general, contexts) * sameness)
    right = rng.binomial(judged, own).astype(np.float64)
    owner = np.repeat(np.arange(raters), contexts).astype(np.int32)
    return owner, np.tile(np.arange(contexts), raters).astype(np.int32), right, judged - right


def test_a_prior_is_the_raters_other_voices_by_the_formula() -> None:
    owner, context, right, wrong = counts(0, 20.0, raters=30)
    found = tied_priors(owner, context, right, wrong)
    total_right, total_wrong = right.reshape(-1, 2).sum(axis=1), wrong.reshape(-1, 2).sum(axis=1)
    whole = fit_prior(total_right, total_wrong)
    sizes, likely = [], []
    for v in range(60):
        other = v ^ 1
        n = right[other] + wrong[other] + whole.right + whole.wrong
        elsewhere = (right[other] + whole.right) / n
        here = np.array([right[context == context[v]].sum() + 3.0, wrong[context == context[v]].sum() + 1.0])
        both = np.array([right.sum() + 6.0, wrong.sum() + 2.0])
        odds = elsewhere / (1.0 - elsewhere) * (here[0] / here[1]) / (both[0] / both[1])
        mean, size = odds / (1.0 + odds), 1.0 / (1.0 / SAMENESS + 1.0 / n)
        sizes.append((mean, size))
        likely.append(betabinom.logpmf(right[v], 12, mean * size, (1.0 - mean) * size))
    best = int(np.argmax(np.sum(likely, axis=0)))
    expected = [(mean * size[best], (1.0 - mean) * size[best]) for mean, size in sizes]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(("sameness", "low", "high"), [(4.0, 2.0, 8.0), (400.0, 30.0, 256.0)])
def test_how_far_raters_stay_the_same_is_read_from_the_counts(sameness: float, low: float, high: float) -> None:
    owner, context, right, wrong = counts(1, sameness, judged=60)
    size = tied_priors(owner, context, right, wrong).sum(axis=1)
    assert low * 0.8 < np.median(size) < high


def test_a_voice_without_votes_is_expected_to_be_like_its_rater() -> None:
    owner, context, right, wrong = counts(2, 200.0, judged=60)
    best, worst = int(np.argmax(right[::2])), int(np.argmin(right[::2]))
    right[1::2], wrong[1::2] = 0.0, 0.0
    prior = tied_priors(owner, context, right, wrong)
    mean = prior[:, 0] / prior.sum(axis=1)
    assert mean[2 * best + 1] > 0.85 and mean[2 * worst + 1] < 0.65


def test_voices_of_dimensions_keep_their_owners() -> None:
    columns, _ = simulate_columns(0)
    context = (np.arange(columns.n_items) % 3).astype(np.int32)
    parted, voices = voices_by(columns, context, ("x", "y", "z"))
    np.testing.assert_array_equal(voices.owner[parted.rater], columns.rater)
    np.testing.assert_array_equal(voices.context[parted.rater], context[columns.item])
    assert voices.hierarchical and voices.n_raters == columns.n_raters
    apart, more = set_apart(parted, voices, np.where(columns.item < 10, 0, -1), ("topic",))
    first = columns.item < 10
    np.testing.assert_array_equal(more.owner[apart.rater], columns.rater)
    assert np.all(more.context[apart.rater[first]] == 3) and np.all(apart.rater[~first] == parted.rater[~first])
    assert not np.any(more.of_their_rater[apart.rater[first]]) and np.all(more.of_their_rater[apart.rater[~first]])


def dimension_liars(seed: int, *, items: int = 400, raters: int = 40) -> tuple[VoteColumns, Index, Ints]:
    """Half of the raters answer the second dimension wrong nine times in ten, and the first right."""
    columns, truth = simulate_columns(seed, items=items, raters=raters)
    rng = np.random.default_rng(seed)
    context = (np.arange(items) % 2).astype(np.int32)
    accuracy = np.where((columns.rater < raters * 0.4) & (context[columns.item] == 1), 0.1, 0.9)
    side = np.where(rng.random(columns.n_votes) < accuracy, truth[columns.item], -truth[columns.item])
    return columns._replace(side=side.astype(np.int8)), context, truth


def test_who_is_wrong_in_one_dimension_is_believed_in_the_other() -> None:
    right = []
    for seed in range(3):
        columns, context, truth = dimension_liars(seed)
        parted, voices = voices_by(columns, context, ("helpful", "harmless"))
        second = (context == 1) & (columns.gold == 0)
        pair = [fit_columns(columns, SETTINGS).log_odds, fit_columns(parted, SETTINGS, voices).log_odds]
        right.append([np.mean((log_odds > 0) == (truth > 0), where=second) for log_odds in pair])
    pooled, own = np.mean(right, axis=0)
    assert own > pooled + 0.1 and own > 0.92


def test_aggregate_tells_the_rater_in_which_dimension() -> None:
    columns, context, truth = dimension_liars(7)
    names: tuple[Dimension, ...] = ("helpful", "harmless")
    tasks = [
        Task.make(f"p{i // 2:04}", ("x", "y"), dimension=names[context[i]],
                  gold=int(truth[i] < 0) if i % 10 < 2 else None) for i in range(columns.n_items)
    ]  # fmt: skip
    judgments = [
        Judgment(id=f"j{j}", task_id=tasks[i].id, rater_id=f"r{r:02}", created_at="2026",
                 order_shown=(0, 1), choice=Choice.prefer(0, 1) if side > 0 else Choice.prefer(1, 0))
        for j, (i, r, side) in enumerate(zip(columns.item, columns.rater, columns.side, strict=True)) if side
    ]  # fmt: skip
    found = aggregate(tasks, judgments, SETTINGS.model_copy(update={"folds": 0}))
    told = {t.rater_id for t in found.trust if any(n.startswith("on harmless more often wrong") for n in t.notes)}
    assert len(told) > 10 and all(int(name[1:]) < 16 for name in told)
    assert [row["dimension"] for row in found.summary["dimensions"]] == ["harmless", "helpful"]
    assert len(found.trust) == 40
    trust = {t.rater_id: t.trust for t in found.trust}
    assert max(trust[name] for name in told) < min(trust[f"r{r}"] for r in range(16, 40))


def test_dimensions_cannot_be_updated_in_part() -> None:
    columns, context, _ = dimension_liars(3)
    parted, voices = voices_by(columns, context, ("helpful", "harmless"))
    with pytest.raises(UsageError, match="2 dimensions together"):
        FitState.of(parted, fit_columns(parted, SETTINGS, voices), SETTINGS)


def test_one_voice_each_is_the_fit_without_voices() -> None:
    columns, _ = simulate_columns(5)
    one = fit_columns(columns, SETTINGS)
    other = fit_columns(columns, SETTINGS, Voices.one_each(columns.n_raters))
    np.testing.assert_array_equal(one.log_odds, other.log_odds)
