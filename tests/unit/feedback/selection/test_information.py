import numpy as np
import pytest
from scipy.special import psi
from scipy.stats import beta

from backstay.feedback.selection.belief import Belief, Ties, Trust
from backstay.feedback.selection.information import digamma, ensemble_gain, expected_entropy, information_gain

GRID = (np.arange(4000) + 0.5) / 4000


def plog(p: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return found


def joint(p: list[float], a: float, b: float, ties: Ties) -> np.ndarray:
    """P(truth, accuracy cell, answer) on a grid."""
    density = np.diff(beta.cdf(np.linspace(0, 1, GRID.size + 1), a, b))
    table = np.zeros((3, GRID.size, 3))
    for truth in (0, 1):
        table[truth, :, truth] = (1 - ties.decided) * GRID
        table[truth, :, 1 - truth] = (1 - ties.decided) * (1 - GRID)
        table[truth, :, 2] = ties.decided
    table[2] = [(1 - ties.equal) / 2, (1 - ties.equal) / 2, ties.equal]
    whole: np.ndarray = table * np.array(p)[:, None, None] * density[None, :, None]
    return whole


def mutual(table: np.ndarray) -> float:
    """I(rows; columns) of a joint table."""
    outer = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    return float(plog(table).sum() - (table * np.log(np.where(outer > 0, outer, 1.0))).sum())


@pytest.mark.parametrize("ties", [Ties(0.2, 0.1, 0.5), Ties.none()])
@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (3.0, 1.0), (0.7, 2.5), (40.0, 9.0)])
def test_the_gains_are_the_mutual_informations_summed_over_a_grid(ties: Ties, a: float, b: float) -> None:
    for first, second, equal in ([0.5, 0.3, 0.2], [0.05, 0.9, 0.05], [1 / 3, 1 / 3, 1 / 3]):
        whole = first + second + (equal if ties.prior else 0.0)
        p = [first / whole, second / whole, equal / whole if ties.prior else 0.0]
        with np.errstate(divide="ignore"):
            gain = information_gain(Belief(np.log([p])), Trust(np.array(a), np.array(b)), ties)
        table = joint(p, a, b, ties)
        by_truth = table.sum(axis=1)
        by_kind = np.stack([by_truth[:2].sum(axis=0), by_truth[2]])
        both = mutual(table.reshape(-1, 3))
        assert gain.label[0] == pytest.approx(mutual(by_truth), abs=1e-6)
        assert gain.equality[0] == pytest.approx(mutual(by_kind), abs=1e-6)
        assert gain.label[0] + gain.trust[0] == pytest.approx(both, abs=2e-5)


def test_a_gain_for_each_rater_is_the_gain_of_that_rater_alone() -> None:
    belief = Belief(np.log([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]))
    together = information_gain(belief, Trust(np.array([2.0, 9.0]), np.array([1.0, 4.0])), Ties())
    for i, (a, b) in enumerate([(2.0, 1.0), (9.0, 4.0)]):
        alone = information_gain(belief, Trust(np.array(a), np.array(b)), Ties())
        assert together.direction[i] == pytest.approx(alone.direction[i])
        assert together.trust[i] == pytest.approx(alone.trust[i])


def test_an_item_that_is_settled_teaches_of_the_rater_and_not_of_the_label() -> None:
    with np.errstate(divide="ignore"):
        gain = information_gain(Belief(np.log([[1.0, 0.0, 0.0]])), Trust(np.array(1.0), np.array(1.0)), Ties.none())
    assert gain.label[0] == pytest.approx(0.0, abs=1e-12)
    assert gain.trust[0] == pytest.approx(np.log(2.0) - 0.5)  # H(1/2) - E[H(x)], x uniform, which is log 2 - 1/2


def test_a_coin_tells_nothing_of_the_direction() -> None:
    gain = information_gain(Belief(np.zeros((1, 3))), Trust(np.array(1e6), np.array(1e6)), Ties())
    assert gain.direction[0] == pytest.approx(0.0, abs=1e-12)


def test_expected_entropy_by_quadrature() -> None:
    for a, b in [(0.5, 0.5), (2.0, 5.0), (30.0, 3.0)]:
        cells = np.diff(beta.cdf(np.linspace(0, 1, GRID.size + 1), a, b))
        by_sum = -(cells * (plog(GRID) + plog(1 - GRID))).sum()
        assert expected_entropy(Trust(np.array(a), np.array(b))) == pytest.approx(by_sum, abs=1e-5)


def test_digamma_is_scipys() -> None:
    x = np.concatenate([np.geomspace(1e-3, 1e5, 200), [1.0, 5.999999, 6.0]])
    assert digamma(x) == pytest.approx(psi(x), rel=1e-11, abs=1e-11)


def test_an_ensemble_gains_only_where_its_members_disagree() -> None:
    log_odds = np.array([[0.0, 3.0, 4.0], [0.0, 3.0, -4.0]])
    gain = ensemble_gain(log_odds, Trust(np.array(1e9), np.array(1.0)))
    assert gain[:2] == pytest.approx([0.0, 0.0], abs=1e-8)
    p = 1 / (1 + np.exp(-4.0))
    by_hand = np.log(2.0) + float(plog(np.array([p, 1 - p])).sum())
    assert gain[2] == pytest.approx(by_hand, abs=1e-6)
    assert ensemble_gain(log_odds, Trust(np.array(2.0), np.array(1.0)))[2] < gain[2]
