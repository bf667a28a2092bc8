"""From what scorers say to the one number that is maximised, each rule by hand."""

import math
import statistics
from typing import Any

import pytest
import torch
from tiny_ppo import Constant, Failing, Round, play
from torch import Tensor

from backstay.errors import UsageError
from backstay.learn import PpoSettings
from backstay.learn.rl.rewards import (
    References,
    pessimistic_cost,
    require_scores,
    score_all,
    shaped_score,
    split_references,
)

NAN = float("nan")
RAW = [[2.0, -3.0, 0.5, 9.0], [1.0, -1.0, 0.5, 7.0], [0.0, -2.0, 2.0, 11.0]]
BEFORE = [[1.0, 2.0], [], [0.25], [-1.0, 0.0, 4.0]]


def settings(**changes: Any) -> PpoSettings:
    return PpoSettings(**({"uncertainty_penalty": 0.5, "no_eos_penalty": 0.0, "reward_clip": 0.0} | changes))


def raw() -> Tensor:
    return torch.tensor(RAW, dtype=torch.float64)


def by_hand(rule: str) -> list[float]:
    found = []
    for column in zip(*RAW, strict=True):
        mean, deviation = statistics.fmean(column), statistics.pstdev(column)
        penalty = {"deviation": 0.5 * deviation, "uwo": 0.5 * deviation**2, "mean": 0.0}
        found.append(min(column) if rule == "worst" else mean - penalty[rule])
    return found


def shaped(given: PpoSettings, finished: list[bool] | None = None, score: Tensor | None = None) -> list[float]:
    score = raw() if score is None else score
    ended = torch.tensor(finished or [True] * 4)
    return shaped_score(score, ended, References.of(BEFORE, score), given).tolist()


@pytest.mark.parametrize("rule", ["deviation", "uwo", "worst", "mean"])
def test_the_score_is_the_combined_one_above_the_mean_reference(rule: str) -> None:
    baseline = [1.5, 0.0, 0.25, 1.0]  # a prompt without references has a single 0
    wanted = [score - base for score, base in zip(by_hand(rule), baseline, strict=True)]
    assert shaped(settings(combine=rule)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("rule", ["deviation", "uwo", "worst", "mean"])
def test_par_is_the_mean_chance_of_beating_a_reference(rule: str) -> None:
    wanted = [
        statistics.fmean(1 / (1 + math.exp(r - score)) for r in before or [0.0])
        for score, before in zip(by_hand(rule), BEFORE, strict=True)
    ]
    found = shaped(settings(combine=rule, shaping="par"))
    assert found == pytest.approx(wanted, abs=1e-12)
    assert all(0 < score < 1 for score in found)


def test_par_stays_bounded_where_members_go_wild() -> None:
    assert shaped(settings(shaping="par"), score=raw() * 1e6) == pytest.approx([1.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("clip", "penalty", "wanted"),
    [
        (5.0, 1.0, [5.0, 4.0, -5.0, -6.0, 0.5, -0.5]),
        (0.0, 1.0, [9.0, 8.0, -9.0, -10.0, 0.5, -0.5]),
        (5.0, 0.0, [5.0, 5.0, -5.0, -5.0, 0.5, 0.5]),
        (0.0, 0.0, [9.0, 9.0, -9.0, -9.0, 0.5, 0.5]),
        (0.25, 3.0, [0.25, -2.75, -0.25, -3.25, 0.25, -2.75]),
    ],
)
def test_the_score_is_bounded_first_and_penalised_after(clip: float, penalty: float, wanted: list[float]) -> None:
    score = torch.tensor([[9.0, 9.0, -9.0, -9.0, 0.5, 0.5]])
    finished = torch.tensor([True, False] * 3)
    given = PpoSettings(reward_clip=clip, no_eos_penalty=penalty)
    assert shaped_score(score, finished, References.of([[0.0]] * 6, score), given).tolist() == wanted


def test_par_is_penalised_after_its_bound_too() -> None:
    ended = shaped(settings(shaping="par", no_eos_penalty=2.0))
    cut = shaped(settings(shaping="par", no_eos_penalty=2.0), finished=[False] * 4)
    assert [a - b for a, b in zip(ended, cut, strict=True)] == pytest.approx([2.0] * 4)


@pytest.mark.parametrize("rule", ["deviation", "uwo", "worst", "mean"])
@pytest.mark.parametrize("shaping", ["clip", "par"])
def test_a_score_that_one_member_does_not_give_is_none(rule: str, shaping: str) -> None:
    score = raw()
    score[1, 2] = NAN
    found = shaped(settings(combine=rule, shaping=shaping, reward_clip=5.0), score=score)
    assert [math.isnan(x) for x in found] == [False, False, True, False]


def test_cost_is_what_members_say_and_what_they_disagree_on() -> None:
    wanted = [statistics.fmean(c) + 0.5 * statistics.pstdev(c) for c in zip(*RAW, strict=True)]
    assert pessimistic_cost(raw(), settings()).tolist() == pytest.approx(wanted, abs=1e-12)
    assert pessimistic_cost(raw()[:1], settings()).tolist() == RAW[0]


def scored(played: Round, *scorers: Any) -> Tensor:
    rollout = played.experience.rollout
    return score_all(scorers, played.model.decoder, rollout.dialogues, rollout.branch_B_T_D)


def test_infinite_scores_become_none_and_others_stay() -> None:
    played = play(drift=0.1)
    finite = scored(played, *played.members)
    assert torch.equal(finite, played.experience.raw_M_B)
    short = played.experience.rollout.dialogues.response_B <= 2
    for broken in (float("inf"), -float("inf"), NAN):
        found = scored(played, played.members[0], Failing(played.members[1], lambda _: short, broken))
        assert torch.equal(found[0], finite[0])
        assert torch.equal(found[1].isnan(), short)
        assert torch.equal(found[1][~short], finite[1][~short])


def test_a_reward_with_too_few_scores_is_refused() -> None:
    with pytest.raises(UsageError, match="a reward gave 1 scores for 12 responses"):
        scored(play(), lambda _decoder, _dialogues, branch: branch.new_zeros(1))


@pytest.mark.parametrize(("failed", "share", "refused"), [(3, 0.25, False), (4, 0.25, True), (1, 0.0, True)])
def test_more_failed_scores_than_allowed_are_refused(failed: int, share: float, refused: bool) -> None:
    valid = torch.arange(12) >= failed
    if not refused:
        require_scores(valid, settings(max_failed_share=share))
        return
    with pytest.raises(UsageError, match=f"{failed / 12:.0%} of a round's responses got no finite score"):
        require_scores(valid, settings(max_failed_share=share))


def test_scores_that_overflow_when_combined_are_none() -> None:
    """Two finite members so far apart that their variance is not."""
    played = play(torch.float32)
    far = [Constant(3e38), Constant(-3e38)]
    found = played.replay(members=far, reward_clip=0.0, combine="uwo")
    assert not found.valid_B.any()
    assert found.score_B.abs().sum() == 0
    assert found.advantage_B_R.isfinite().all()


def test_references_are_combined_as_scores_are_and_without_what_training_never_sees() -> None:
    given = [[[1.0, 3.0, 100.0], [0.0, 0.0, 50.0]], [[2.0, 2.0, -7.0]]]
    settings = PpoSettings(combine="deviation", uncertainty_penalty=0.5)
    seen, unseen = split_references(given, 2, 2, settings)
    assert seen == [[2.0 - 0.5 * 1.0, 0.0], [2.0]]
    assert unseen == [75.0, -7.0]
    assert split_references(given, 2, 3, PpoSettings(combine="worst")) == ([[1.0, 0.0], [-7.0]], [0.0, 0.0])
    assert split_references(None, 3, 2, settings) == ([[0.0]] * 3, [0.0] * 3)
