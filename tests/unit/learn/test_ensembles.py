import math
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev

import pytest
import torch

from backstay.learn.ensembles import Rule, combine, conservative_score, par, spread

MEMBERS = [[1.0, 2.0, 0.0], [3.0, 2.0, 0.5], [5.0, 2.0, -3.5]]
RULES: tuple[Rule, ...] = ("mean", "worst", "uwo", "deviation")


def test_conservative_score_by_hand() -> None:
    members = [[1.0, 2.0, 0.0], [3.0, 2.0, 0.5], [5.0, 2.0, -3.5]]
    score = torch.tensor(members, dtype=torch.float64)
    by_response = list(zip(*members, strict=True))
    wanted = [fmean(column) - 0.5 * pstdev(column) for column in by_response]
    assert conservative_score(score, penalty=0.5).tolist() == pytest.approx(wanted)
    assert spread(score).tolist() == pytest.approx([pstdev(column) for column in by_response])


def test_without_a_penalty_the_score_is_the_mean() -> None:
    score = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(conservative_score(score, penalty=0.0), score.mean(0))


def test_a_single_member_has_no_spread() -> None:
    score = torch.tensor([[1.0, -2.0]])
    assert spread(score).tolist() == [0.0, 0.0]
    assert conservative_score(score, penalty=9.0).tolist() == [1.0, -2.0]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_by_hand(rule: Rule) -> None:
    slow: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": fmean,
        "worst": min,
        "uwo": lambda column: fmean(column) - 0.3 * pstdev(column) ** 2,
        "deviation": lambda column: fmean(column) - 0.3 * pstdev(column),
    }
    found = combine(torch.tensor(MEMBERS).double(), rule, 0.3)
    assert found.tolist() == pytest.approx([slow[rule](column) for column in zip(*MEMBERS, strict=True)])


def test_a_penalty_of_zero_is_the_mean() -> None:
    score = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    for rule in ("uwo", "deviation"):
        assert torch.equal(combine(score, rule, 0.0), score.mean(0))


@pytest.mark.parametrize("rule", RULES)
def test_one_member_without_a_score_leaves_the_response_without_one(rule: Rule) -> None:
    score = torch.tensor(MEMBERS)
    score[1, 2] = float("nan")
    assert combine(score, rule, 0.5).isnan().tolist() == [False, False, True]


def test_par_by_hand() -> None:
    score, reference = [0.3, -2.0], [[1.0, -1.0, 0.0], [0.5, 0.5, 4.0]]
    wanted = [fmean(1 / (1 + math.exp(r - s)) for r in row) for s, row in zip(score, reference, strict=True)]
    assert par(torch.tensor(score).double(), torch.tensor(reference).double()).tolist() == pytest.approx(wanted)


def test_par_is_bounded_and_ignores_a_constant_a_prompt() -> None:
    score = torch.tensor([-50.0, 0.0, 50.0]).double()
    reference = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double()
    found = par(score, reference)
    assert bool(((found > 0) & (found <= 1)).all())
    assert par(score + 3, reference + 3).tolist() == pytest.approx(found.tolist())


def test_par_leaves_missing_references_out() -> None:
    nan = float("nan")
    score = torch.tensor([0.0, nan, 1.0]).double()
    reference = torch.tensor([[1.0, nan], [1.0, 2.0], [nan, nan]]).double()
    found = par(score, reference)
    assert float(found[0]) == pytest.approx(1 / (1 + math.e))
    assert found.isnan().tolist() == [False, True, True]
