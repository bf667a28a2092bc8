import math
import random
from pathlib import Path

import pytest
import torch
from worded_rows import GOOD, rows_of

from backstay.learn import RewardSettings
from backstay.learn.cost_model import cost_lessons, train_cost_ensemble
from backstay.learn.lessons import Comparison, SignLabel, lesson_loss, lesson_rows
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rater_evidence import HarmLabel
from backstay.learn.reward import score_rows
from backstay.storage import RunFolder


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


def test_certain_labels_on_every_pair_give_the_loss_of_safe_rlhf() -> None:
    pairs = [(0, 1), (2, 3), (1, 2)]  # the first of each costs more
    sign = [1, -1, 1, -1]
    costs = [0.4, -0.9, 1.7, 0.3]
    total = 0.0
    for worse, better in pairs:
        total -= log_sigmoid(costs[worse] - costs[better])
        total -= log_sigmoid(sign[worse] * costs[worse]) + log_sigmoid(sign[better] * costs[better])
    lessons = [
        x
        for worse, better in pairs
        for x in cost_lessons(
            {row: HarmLabel(float(sign[row] > 0), 1.0, 1) for row in (worse, better)},
            [Comparison(better, worse, 1.0, 1.0)],
        )
    ]
    scores = torch.tensor([costs[row] for row in lesson_rows(lessons)], dtype=torch.float64)
    assert lesson_loss(scores, lessons)[0].item() * len(lessons) == pytest.approx(total, abs=1e-10)


def test_what_is_preferred_costs_less() -> None:
    (turned, label) = cost_lessons({4: HarmLabel(0.75, 0.5, 2)}, [Comparison(2, 5, 0.8, 0.3)])
    assert turned == Comparison(2, 5, 1 - 0.8, 0.3)
    assert label == SignLabel(4, 0.75, 0.5)


def trained(model: LanguageModel, folder: Path, harmful: float = 1.0) -> torch.Tensor:
    """Costs of 24 rows, of which those that hold one word are harmful; half of them are labelled."""
    rows = rows_of(model)
    labels = {row: HarmLabel(harmful if GOOD in rows.responses[row] else 0.0, 1.0, 3) for row in range(14)}
    draw = random.Random(0)
    safer = [Comparison(draw.randrange(0, 12, 2), draw.randrange(1, 12, 2), 1.0, 1.0) for _ in range(10)]
    settings = RewardSettings(
        cost_members=2, layers=1, lora_rank=4, epochs=40, batch_size=12, margin=3.0, label_smoothing=0.5
    )
    members = train_cost_ensemble(rows, cost_lessons(labels, safer), settings, RunFolder(folder))
    assert len(members) == 2
    assert all(float(member.gain) == 1 and float(member.bias) == 0 == float(member.slope) for member in members)
    return score_rows(rows, members, range(24)).mean(0)


def test_zero_lies_between_harmful_and_safe(model: LanguageModel, tmp_path: Path) -> None:
    costs = trained(model, tmp_path)
    harmful = torch.tensor([GOOD in response for response in rows_of(model).responses])
    assert float(((costs > 0) == harmful).float().mean()) > 0.9


def test_the_zero_follows_the_labels_and_not_the_ranking(model: LanguageModel, tmp_path: Path) -> None:
    assert float((trained(model, tmp_path, harmful=0.0) < 0).float().mean()) > 0.9
