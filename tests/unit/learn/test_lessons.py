import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from backstay.learn.lessons import Comparison, Lesson, Ranking, SignLabel, lesson_loss, lesson_rows, sign_loss

SCORES = [0.3, -1.2, 2.0, 0.7, -0.4, 1.1, 0.0]
COMPARISONS: list[Lesson] = [Comparison(0, 1, 0.8, 1.0), Comparison(2, 5, 0.1, 0.5)]
RANKINGS: list[Lesson] = [Ranking(((2,), (3, 0), (1,)), 0.6), Ranking(((4,), (5,), (0,)), 0.9)]
LABELS: list[Lesson] = [SignLabel(1, 0.2, 1.0), SignLabel(6, 1.0, 0.4), SignLabel(2, 0.9, 2.0)]


def score_of(lessons: list[Lesson]) -> Tensor:
    return torch.tensor([SCORES[row] for row in lesson_rows(lessons)], dtype=torch.float64, requires_grad=True)


def cross_entropy(logit: float, p: float) -> float:
    chance = 1 / (1 + math.exp(-logit))
    return -(p * math.log(chance) + (1 - p) * math.log(1 - chance))


def strict(scores: list[float]) -> float:
    """-log P of scores that stand best first."""
    return -sum(s - math.log(sum(map(math.exp, scores[i:]))) for i, s in enumerate(scores))


def slow_loss() -> float:
    total = 1.0 * cross_entropy(0.3 + 1.2, 0.8) + 0.5 * cross_entropy(2.0 - 1.1, 0.1)
    total += 0.6 * (strict([2.0, 0.7, 0.3, -1.2]) + strict([2.0, 0.3, 0.7, -1.2])) / 2
    total += 0.9 * strict([-0.4, 1.1, 0.3])
    total += 1.0 * cross_entropy(-1.2, 0.2) + 0.4 * cross_entropy(0.0, 1.0) + 2.0 * cross_entropy(2.0, 0.9)
    return total / (1.5 + 1.5 + 3.4)


def test_a_mixed_batch_equals_a_slow_loop() -> None:
    batch = [LABELS[0], RANKINGS[0], COMPARISONS[0], *RANKINGS[1:], *LABELS[1:], COMPARISONS[1]]
    loss, _ = lesson_loss(score_of(batch), batch)
    assert loss.item() == pytest.approx(slow_loss(), abs=1e-12)


def test_the_order_of_a_batch_does_not_matter() -> None:
    batch = [*COMPARISONS, *RANKINGS, *LABELS]
    found = lesson_loss(score_of(batch), batch)
    again = lesson_loss(score_of(batch[::-1]), batch[::-1])
    assert again[0].item() == pytest.approx(found[0].item(), abs=1e-12)
    assert again[1] == pytest.approx(found[1])


def test_right_is_counted_a_lesson() -> None:
    right = {
        "comparisons": (COMPARISONS, 0.5),  # 0.3 over -1.2 is right; 2.0 over 1.1 is wrong
        "rankings": (RANKINGS, (5 / 5 + 1 / 3) / 2),
        "labels": (LABELS, 2 / 3),  # a score of exactly 0 is not positive
    }
    for lessons, wanted in right.values():
        assert lesson_loss(score_of(lessons), lessons)[1] == pytest.approx(wanted)
    pairs = sum(1 for first, second in combinations([(2.0,), (0.7, 0.3), (-1.2,)], 2) for _ in first for _ in second)
    assert pairs == 5


def test_a_tie_of_all_is_neither_right_nor_wrong() -> None:
    tie: list[Lesson] = [Ranking(((0, 1, 2),), 1.0)]
    assert math.isnan(lesson_loss(score_of(tie), tie)[1])
    assert lesson_loss(score_of([*tie, LABELS[0]]), [*tie, LABELS[0]])[1] == 1.0


def test_a_weight_counts_as_that_many_lessons() -> None:
    for own in (Comparison(0, 1, 0.7, 3.0), Ranking(((0,), (1, 2)), 3.0), SignLabel(4, 0.7, 3.0)):
        single = type(own)(**{**vars(own), "weight": 1.0})
        weighted: list[Lesson] = [own, COMPARISONS[0]]
        repeated: list[Lesson] = [single, single, single, COMPARISONS[0]]
        first, second = lesson_loss(score_of(weighted), weighted)[0], lesson_loss(score_of(repeated), repeated)[0]
        assert first.item() == pytest.approx(second.item(), abs=1e-12)


def test_margin_and_smoothing_leave_rankings_and_labels_alone() -> None:
    batch = [*RANKINGS, *LABELS]
    plain = lesson_loss(score_of(batch), batch)[0].item()
    assert lesson_loss(score_of(batch), batch, margin=2.0, label_smoothing=0.3)[0].item() == plain
    plain = lesson_loss(score_of(COMPARISONS), COMPARISONS)[0].item()
    assert lesson_loss(score_of(COMPARISONS), COMPARISONS, margin=2.0)[0].item() != plain


def test_a_certain_sign_is_the_log_sigmoid_of_the_signed_score() -> None:
    score, one = torch.tensor([1.3, -0.2], dtype=torch.float64), torch.ones(2).double()
    harmful, safe = sign_loss(score, one, one).item(), sign_loss(score, 0 * one, one).item()
    assert harmful == pytest.approx(-sum(math.log(1 / (1 + math.exp(-c))) for c in score.tolist()))
    assert safe == pytest.approx(-sum(math.log(1 / (1 + math.exp(c))) for c in score.tolist()))


def test_lessons_without_weight_teach_nothing() -> None:
    batch: list[Lesson] = [Comparison(0, 1, 0.7, 0.0), Ranking(((0,), (2,)), 0.0), SignLabel(1, 1.0, 0.0)]
    scores = score_of(batch)
    loss, _ = lesson_loss(scores, batch)
    torch.autograd.backward(loss)
    assert scores.grad is not None
    assert loss.item() == 0.0 and float(scores.grad.abs().max()) == 0.0
