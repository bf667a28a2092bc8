import numpy as np
import pytest
from bloc_crowds import crowd_columns
from crowd_simulator import simulate
from scipy.sparse import csr_array

from backstay.aggregate import AggregateSettings, blocs, collect_votes, columns_of, fit_columns, fit_reliability
from backstay.aggregate.blocs import DENSE_RATERS, STARTS, Bloc, bloc_weights, co_votes, strongest_bloc
from backstay.aggregate.kernels import accuracies
from backstay.aggregate.reliability import Solver
from backstay.aggregate.trust import Group, groups_of, own_voice

SETTINGS = AggregateSettings()


def test_joint_probability_of_two_votes_by_enumeration() -> None:
    columns = crowd_columns(0, raters=8, items=30, per_item=4, bloc=0)
    solver = Solver(columns, SETTINGS)
    solver.converge()
    pairs = co_votes(columns, solver.state, solver.cells, solver.rules, 10**6, solver.voices.actor)
    population, none = solver.state.population[0], np.zeros(6)
    three = np.array([accuracies(cells, none, population, solver.rules) for cells in solver.cells])
    item, k = columns.item, 0
    for i in range(columns.n_items):
        votes = np.flatnonzero(item == i)
        for y in range(1, votes.size):
            for x in range(y):
                one, other = votes[x], votes[y]
                truth = solver.state.log_odds[i] - solver.state.evidence[one] - solver.state.evidence[other]
                truth = 3.9 * columns.gold[i] if columns.gold[i] else np.clip(truth, -3.9, 3.9)
                own = good = agree = 0.0
                for z, q in ((1, 1 / (1 + np.exp(-truth))), (-1, 1 / (1 + np.exp(truth)))):
                    p = []
                    for j in (one, other):
                        first_is_better = z * columns.shown[j] > 0
                        right = np.clip(three[columns.rater[j], 1 if first_is_better else 2], 0.1, 0.9)
                        p.append(right if columns.side[j] == z else 1 - right)
                    own += q * p[0] * p[1]
                    good += q * np.prod([0.75 if columns.side[j] == z else 0.25 for j in (one, other)])
                    says_z = [x if columns.side[j] == z else 1 - x for x, j in zip(p, (one, other), strict=True)]
                    agree += q * (says_z[0] * says_z[1] + (1 - says_z[0]) * (1 - says_z[1]))
                assert pairs.joint[k] == pytest.approx(min(max(own, good, 0.005), 0.995))
                assert pairs.expected[k] == pytest.approx(agree)
                assert pairs.same[k] == (columns.side[one] == columns.side[other])
                k += 1
    assert k == pairs.u.size


def test_m_perfect_copies_count_as_one_vote_and_others_stay_whole() -> None:
    columns = crowd_columns(1, raters=9, items=40, per_item=9, bloc=5)
    member = np.where(np.arange(9) < 5, 1.0, 0.0)
    weight = bloc_weights(columns, (Bloc(member, 1.0, 1.0, 1.0, 0.5, 5),))
    for i in range(40):
        votes = columns.item == i
        assert weight[votes & (columns.rater < 5)].sum() == pytest.approx(1.0)
    assert np.all(weight[columns.rater >= 5] == 1.0)


@pytest.mark.parametrize(("bloc", "copies"), [(12, 1.0), (20, 1.0), (16, 0.85), (8, 1.0)])
def test_a_planted_bloc_is_found_and_nobody_else(bloc: int, copies: float) -> None:
    columns = crowd_columns(2, raters=50, items=600, per_item=6, bloc=bloc, copies=copies)
    fit = fit_columns(columns, SETTINGS)
    assert len(fit.blocs) == 1
    found = fit.blocs[0]
    assert np.flatnonzero(found.membership > 0.9).max() < bloc
    assert np.mean(found.membership[:bloc] > 0.5) >= 0.75
    assert found.copying == pytest.approx(copies**2, abs=0.25)
    assert found.agreement > found.expected + 0.1


def test_two_blocs_are_told_apart() -> None:
    columns = crowd_columns(3, raters=50, items=800, per_item=8, bloc=10)
    other = np.random.default_rng(9).choice([-1, 1], 800)
    second = (columns.rater >= 10) & (columns.rater < 20)
    columns = columns._replace(side=np.where(second, other[columns.item], columns.side).astype(np.int8))
    members = {tuple(np.flatnonzero(b.membership > 0.9)) for b in fit_columns(columns, SETTINGS).blocs}
    assert members == {tuple(range(10)), tuple(range(10, 20))}


@pytest.mark.parametrize("liars", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("kind", ["flip", "spam"])
def test_no_bloc_is_seen_among_independent_raters_and_liars(kind: str, liars: float) -> None:
    rng = np.random.default_rng(5)
    columns = crowd_columns(4, raters=60, items=500, per_item=5, bloc=0)
    lies = columns.rater < round(60 * liars)
    coin = rng.choice([-1, 1], columns.n_votes)
    said = np.where(lies, -columns.side if kind == "flip" else coin, columns.side)
    assert fit_columns(columns._replace(side=said.astype(np.int8)), SETTINGS).blocs == ()


def test_members_are_trusted_less_and_a_group_that_passes_gold_is_not() -> None:
    member = np.array([1.0, 1.0, 0.0])
    bloc = Bloc(member, 0.9, 50.0, 0.95, 0.6, 5)
    np.testing.assert_allclose(own_voice((Group(bloc, 2.0, 8.0),), 3), [0.1, 0.1, 1.0])
    np.testing.assert_allclose(own_voice((Group(bloc, 30.0, 2.0),), 3), 1.0)
    columns = crowd_columns(6, raters=40, items=500, per_item=6, bloc=14)
    assert [group.preference for group in groups_of(columns, fit_columns(columns, SETTINGS))] == [False]


def test_fewer_co_votes_than_there_are_still_show_the_bloc() -> None:
    columns = crowd_columns(7, raters=50, items=2000, per_item=6, bloc=15)
    solver = Solver(columns, SETTINGS)
    solver.converge()
    pairs = co_votes(columns, solver.state, solver.cells, solver.rules, 6000, solver.voices.actor)
    assert 5000 < pairs.u.size <= 6100
    found = strongest_bloc(pairs, 50)
    assert found is not None
    named = np.flatnonzero(found.membership > 0.9)
    assert named.size >= 12
    assert named.max() < 15


def test_without_gold_a_bloc_wins_only_when_collusion_is_not_looked_for() -> None:
    right: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(4):
        crowd = simulate(seed, bloc=0.33, gold_share=0.0)
        votes = collect_votes(crowd.tasks, crowd.judgments)
        truth = np.array(list(crowd.truth.values()))
        for collusion in (True, False):
            fit = fit_reliability(votes, votes.gold, AggregateSettings(collusion=collusion))
            right[collusion].append(float(np.mean((fit.log_odds > 0) == (truth == 1))))
    assert min(right[True]) > 0.8
    assert np.mean(right[True]) > np.mean(right[False]) + 0.1


def test_nothing_and_one_vote() -> None:
    empty = columns_of(collect_votes([], []), np.zeros(0))
    assert fit_columns(empty, SETTINGS).blocs == ()
    crowd = simulate(0, raters=2, items=1, per_item=1)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    assert fit_reliability(votes, votes.gold, SETTINGS).blocs == ()


def test_many_raters_who_share_no_item_start_no_bloc() -> None:
    leading = blocs._leading(csr_array((DENSE_RATERS + 1, DENSE_RATERS + 1)))
    assert leading.shape == (DENSE_RATERS + 1, STARTS) and not leading.any()
