import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from simulated_columns import save_log_odds, simulate_columns

from backstay.aggregate import AggregateSettings, Fit, VoteColumns, fit_columns
from backstay.aggregate.column_files import columns_in, write_columns
from backstay.aggregate.executors import Executor, ProcessExecutor, RayExecutor, ThreadExecutor
from backstay.aggregate.map_reduce import fit_shards
from backstay.aggregate.shards import joined, shards_of
from backstay.aggregate.voices import Voices, set_apart, voices_by
from backstay.errors import UsageError

ARRAYS = ("cells", "evidence", "belief", "independence", "prior", "log_odds")


def with_bloc(columns: VoteColumns) -> VoteColumns:
    shared = np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.int8), columns.n_items)
    return columns._replace(side=np.where(columns.rater < 4, shared[columns.item], columns.side).astype(np.int8))


def fit_in(columns: VoteColumns, count: int, settings: AggregateSettings, executor: Executor | None = None) -> Fit:
    return fit_shards([partial(VoteColumns, *part) for part in shards_of(columns, count)], settings, executor)


def assert_equal(one: Fit, other: Fit) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.population, other.population)
    assert (one.iterations, one.converged) == (other.iterations, other.converged)
    assert len(one.blocs) == len(other.blocs)
    for mine, theirs in zip(one.blocs, other.blocs, strict=True):
        np.testing.assert_array_equal(mine.membership, theirs.membership)


@pytest.mark.parametrize("collusion", [False, True])
def test_as_many_shards_as_slices_give_the_same_bits(collusion: bool) -> None:
    columns = with_bloc(simulate_columns(0, items=500)[0])
    settings = AggregateSettings(coupling=0.0, collusion=collusion)
    one = fit_columns(columns, settings)
    assert_equal(one, fit_in(columns, 8, settings))
    assert bool(one.blocs) == collusion


@pytest.mark.parametrize("limit", [4_000_000, 1500])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_any_number_of_shards_gives_the_same_fit(count: int, limit: int) -> None:
    """With coupling: the prompts' responses do not all lie in one shard."""
    columns = with_bloc(simulate_columns(1, items=500)[0])
    settings = AggregateSettings(max_co_votes=limit)
    one, other = fit_columns(columns, settings), fit_in(columns, count, settings)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9, rtol=0.0, err_msg=name)
    assert np.any(one.prior != 0.0) and one.iterations == other.iterations and len(one.blocs) == len(other.blocs)


def test_responses_that_several_shards_have_are_counted_once() -> None:
    columns, _ = simulate_columns(2, items=600)
    order = np.random.default_rng(0).permutation(600)
    mixed = columns._replace(a=columns.a[order], b=columns.b[order], n_responses=columns.n_responses + 7)
    settings = AggregateSettings(collusion=False)
    one, other = fit_columns(mixed, settings), fit_in(mixed, 5, settings)
    np.testing.assert_allclose(one.prior, other.prior, atol=1e-9, rtol=0.0)
    np.testing.assert_allclose(one.log_odds, other.log_odds, atol=1e-9, rtol=0.0)


def test_contexts_set_apart_have_populations_of_their_own() -> None:
    columns, _ = simulate_columns(3)
    settings = AggregateSettings(coupling=0.0)
    apart, voices = set_apart(columns, Voices.one_each(20), columns.item % 3 - 1, ("second", "third"))
    found = fit_shards([partial(VoteColumns, *part) for part in shards_of(apart)], settings, voices=voices)
    assert_equal(fit_columns(apart, settings, voices), found)
    assert len(found.population) == 3


def test_dimensions_are_fitted_alike_in_shards() -> None:
    columns, _ = simulate_columns(3)
    settings = AggregateSettings(coupling=0.0)
    parted, voices = voices_by(columns, (np.arange(columns.n_items) % 2).astype(np.int32), ("helpful", "honest"))
    found = fit_shards([partial(VoteColumns, *part) for part in shards_of(parted)], settings, voices=voices)
    assert_equal(fit_columns(parted, settings, voices), found)


def test_shards_joined_again_are_the_columns() -> None:
    columns, _ = simulate_columns(4)
    for mine, theirs in zip(columns, joined(shards_of(columns, 7)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.integration
def test_processes_that_read_files_and_keep_what_they_find(tmp_path: Path) -> None:
    columns, _ = simulate_columns(5)
    settings = AggregateSettings(coupling=0.0, collusion=False)
    for number, part in enumerate(shards_of(columns)):
        write_columns(tmp_path / f"{number}.parquet", part)
    sources = [partial(columns_in, tmp_path / f"{number}.parquet") for number in range(8)]
    found = fit_shards(sources, settings, ProcessExecutor(2), save=partial(save_log_odds, tmp_path))
    one = fit_columns(columns, settings)
    assert found.log_odds.size == 0
    np.testing.assert_array_equal(found.cells, one.cells)
    np.testing.assert_array_equal(np.concatenate([np.load(tmp_path / f"{n}.npy") for n in range(8)]), one.log_odds)


def test_shards_that_number_raters_differently_are_refused() -> None:
    parts = shards_of(simulate_columns(6)[0], 2)
    parts[1] = parts[1]._replace(n_raters=21)
    executor = ThreadExecutor(1)
    with pytest.raises(UsageError, match="differently"):
        fit_shards([partial(VoteColumns, *part) for part in parts], AggregateSettings(), executor)
    assert executor.shards == []


@pytest.fixture
def cluster() -> Iterator[RayExecutor]:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    yield RayExecutor(num_cpus=2, include_dashboard=False)
    ray.shutdown()


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_gives_the_same_bits(cluster: RayExecutor) -> None:
    columns, _ = simulate_columns(7)
    settings = AggregateSettings(coupling=0.0, collusion=False)
    one = fit_columns(columns, settings)
    sources = [partial(VoteColumns, *part) for part in shards_of(columns)]
    assert_equal(one, fit_shards(sources, settings, cluster))


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_cure_is_told() -> None:
    with pytest.raises(UsageError, match=r"backstay\[ray\]"):
        RayExecutor()
