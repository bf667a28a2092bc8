"""The replay of benchmarks/feedback/assignment.py: nothing is shown twice, and levels are read off fairly."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from backstay.aggregate import VoteColumns

BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "feedback"))
    return importlib.import_module("assignment")


def columns(items: int, each: int) -> VoteColumns:
    rng = np.random.default_rng(0)
    size = items * each
    return VoteColumns(
        start=np.arange(0, size + 1, each, dtype=np.int64),
        rater=np.concatenate([rng.permutation(12)[:each] for _ in range(items)]).astype(np.int32),
        side=rng.choice(np.array([-1, 0, 1], dtype=np.int8), size),
        shown=np.ones(size, dtype=np.int8),
        share=np.ones(size, dtype=np.float32),
        a=np.arange(items, dtype=np.int32),
        b=np.arange(items, 2 * items, dtype=np.int32),
        gold=np.zeros(items, dtype=np.int8),
        n_raters=12,
        n_responses=2 * items,
    )


@pytest.mark.parametrize("routed", [False, True])
def test_every_judgment_is_looked_at_once_and_each_item_gets_its_first_votes_first(
    load: ModuleType, routed: bool
) -> None:
    votes = columns(100, 5)
    replay = load.ActiveReplay(votes, load.Active(routed=routed), np.random.default_rng(1))
    order = np.array(list(replay.run()))
    assert sorted(order) == list(range(500))
    assert np.bincount(votes.item[order[:250]], minlength=100).min() >= 1
    late = np.bincount(votes.item[order[:400]], minlength=100)
    assert late.max() == 5 and late.min() >= 2  # some items got all they have before others got more than two


def test_uniform_goes_in_rounds(load: ModuleType) -> None:
    votes = columns(30, 4)
    order = load.uniform_order(votes, np.random.default_rng(1))
    for k in range(4):
        assert sorted(votes.item[order[30 * k : 30 * (k + 1)]]) == list(range(30))


def test_levels_are_read_off_the_closest_rising_curve(load: ModuleType) -> None:
    assert load.rising(np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx([1.0, 2.5, 2.5, 4.0])
    at = np.array([10, 20, 30, 40])
    assert load.needed(at, np.array([1.0, 3.0, 2.0, 4.0]), 3.25) == pytest.approx(35.0)
    assert load.needed(at, np.array([0.1, 0.2, 0.3, 0.4]), 0.9) == 40.0
    uniform, active = np.array([0.6, 0.7, 0.8, 0.9]), np.array([0.7, 0.8, 0.9, 0.9])
    assert load.saved(at, uniform, active, 30.0) == pytest.approx(1.0 - 20.0 / 30.0)
    pseudo = load.pseudo_values(at, np.array([uniform, uniform]), np.array([active, active]), 30.0)
    assert pseudo == pytest.approx([1.0 / 3.0, 1.0 / 3.0])
