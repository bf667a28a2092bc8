import copy
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_members
from torch import Tensor
from worded_rows import rows_of

from backstay.learn import RewardSettings, reward
from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison, Lesson, Ranking
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.reward import _step, score_rows, train_ensemble, train_members
from backstay.learn.scalar_models import RewardMember
from backstay.storage import RunFolder


def comparisons(count: int, seed: int = 1) -> list[Comparison]:
    draw, made = random.Random(seed), []
    for _ in range(count):
        a, b = draw.sample(range(24), 2)
        made.append(Comparison(a, b, p_a=draw.random(), weight=draw.random()))
    return made


def step_gradient(member: RewardMember, rows: BranchStates, batch: Sequence[Comparison]) -> tuple[float, list[Tensor]]:
    """Loss and gradients of one step; the weights stay as they are."""
    own = copy.deepcopy(member).requires_grad_(True)
    loss, _, _ = _step(rows, batch, own, torch.optim.SGD(own.parameters(), lr=0.0), RewardSettings(max_grad_norm=0.0))
    return loss, [parameter.grad for parameter in own.parameters() if parameter.grad is not None]


def furthest(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


@pytest.fixture
def member(model64: LanguageModel) -> RewardMember:
    return fresh_members(model64, 1)[0]


def test_the_loss_of_a_step_equals_a_slow_loop(model64: LanguageModel, member: RewardMember) -> None:
    rows, batch = rows_of(model64), comparisons(7)
    loss, _ = step_gradient(member, rows, batch)
    score = score_rows(rows, [member], range(24))[0].tolist()
    total = 0.0
    for c in batch:
        chance = 1 / (1 + math.exp(score[c.b] - score[c.a]))
        total -= c.weight * (c.p_a * math.log(chance) + (1 - c.p_a) * math.log(1 - chance))
    assert loss == pytest.approx(total / sum(c.weight for c in batch), abs=1e-10)


def test_a_weight_counts_as_that_many_rows(model64: LanguageModel, member: RewardMember) -> None:
    rows = rows_of(model64)
    weighted = [Comparison(0, 1, 0.9, 3.0), Comparison(2, 5, 0.2, 1.0), Comparison(7, 4, 0.6, 2.0)]
    single = [Comparison(c.a, c.b, c.p_a, 1.0) for c in weighted for _ in range(int(c.weight))]
    loss, gradient = step_gradient(member, rows, weighted)
    repeated_loss, repeated = step_gradient(member, rows, single)
    assert loss == pytest.approx(repeated_loss, abs=1e-10)
    assert furthest(gradient, repeated) < 1e-10


def test_the_order_of_pairs_and_company_do_not_matter(model64: LanguageModel, member: RewardMember) -> None:
    rows, batch = rows_of(model64), [Comparison(c.a, c.b, c.p_a, 0.5) for c in comparisons(6)]
    _, whole = step_gradient(member, rows, batch)
    _, mixed = step_gradient(member, rows, [batch[i] for i in (4, 0, 5, 2, 3, 1)])
    parts = [step_gradient(member, rows, batch[i : i + 2])[1] for i in (0, 2, 4)]
    assert furthest(whole, mixed) < 1e-10
    assert furthest(whole, [(a + b + c) / 3 for a, b, c in zip(*parts, strict=True)]) < 1e-10


def test_swapping_both_sides_and_the_label_changes_nothing(model64: LanguageModel, member: RewardMember) -> None:
    rows, batch = rows_of(model64), [Comparison(c.a, c.b, 0.25, c.weight) for c in comparisons(6)]
    loss, gradient = step_gradient(member, rows, batch)
    mirrored_loss, mirrored = step_gradient(member, rows, [Comparison(c.b, c.a, 0.75, c.weight) for c in batch])
    assert loss == pytest.approx(mirrored_loss, abs=1e-10)
    assert furthest(gradient, mirrored) < 1e-10


def test_pairs_without_weight_teach_nothing(model64: LanguageModel, member: RewardMember) -> None:
    loss, gradient = step_gradient(member, rows_of(model64), [Comparison(0, 1, 0.9, 0.0)])
    assert loss == 0.0
    assert max(float(tensor.abs().max()) for tensor in gradient) == 0.0


def test_an_even_label_between_equal_responses_teaches_nothing(model64: LanguageModel, member: RewardMember) -> None:
    loss, gradient = step_gradient(member, rows_of(model64), [Comparison(3, 3, 0.5, 1.0)])
    assert loss == pytest.approx(math.log(2))
    assert max(float(tensor.abs().max()) for tensor in gradient) < 1e-12


@pytest.mark.parametrize("layers", [0, 1])
def test_scores_do_not_depend_on_who_else_is_scored(model64: LanguageModel, layers: int) -> None:
    members, rows = fresh_members(model64, 2, layers=layers), rows_of(model64)
    every = score_rows(rows, members, range(24))
    few = score_rows(rows, members, [9, 2, 17])
    assert every.shape == (2, 24)
    assert (few - every[:, [9, 2, 17]]).abs().max() < 1e-10
    with torch.no_grad():
        alone = [float(members[1](model64.decoder, *rows.batch([row]))[0]) for row in (9, 2, 17)]
    assert few[1].tolist() == pytest.approx(alone, abs=1e-10)


def trained(model: LanguageModel, folder: Path, seed: int = 3) -> list[RewardMember]:
    draw = random.Random(2)
    pairs = [(draw.randrange(0, 24, 2) + 1, draw.randrange(0, 24, 2)) for _ in range(60)]  # odd rows are good
    batch = [Comparison(a, b, 0.95, 1.0) if i % 2 else Comparison(b, a, 0.05, 1.0) for i, (a, b) in enumerate(pairs)]
    settings = RewardSettings(members=2, layers=1, lora_rank=4, epochs=4, batch_size=12, seed=seed)
    return train_ensemble(rows_of(model), batch, settings, RunFolder(folder))


def test_an_ensemble_learns_what_is_preferred(model: LanguageModel, tmp_path: Path) -> None:
    members = trained(model, tmp_path)
    score = score_rows(rows_of(model), members, range(24))
    for own in score:
        assert float((own[1::2, None] > own[None, ::2]).float().mean()) > 0.9
    assert (score[0] - score[1]).abs().max() > 1e-3  # own initialisation and own bootstrap
    assert not any(parameter.requires_grad for member in members for parameter in member.parameters())


def test_an_ensemble_logs_every_step_of_every_member(model: LanguageModel, tmp_path: Path) -> None:
    trained(model, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert [row["member"] for row in rows] == [0] * 20 + [1] * 20
    rates = [3e-3 * (1 - step / 20) for step in range(20)] * 2
    assert [row["learning_rate"] for row in rows] == pytest.approx(rates)
    assert all(0 <= row["accuracy"] <= 1 and row["steps"] == 40 for row in rows)
    page = (Path(__file__).parents[3] / "docs" / "learn" / "metrics.md").read_text().split("\n## ")
    assert all(f"| `{name}` |" in page[2] for name in rows[0])
    assert rows[-1]["accuracy"] > rows[0]["accuracy"] or rows[-1]["accuracy"] == 1.0


def test_equal_seeds_give_equal_members(model: LanguageModel, tmp_path: Path) -> None:
    scores = [
        score_rows(rows_of(model), trained(model, tmp_path / str(i), seed), range(24))
        for i, seed in enumerate((3, 3, 4))
    ]
    assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_rankings_teach_what_is_preferred(model: LanguageModel, tmp_path: Path) -> None:
    draw, lessons = random.Random(4), []
    for _ in range(40):
        good, bad = draw.sample(range(1, 24, 2), 2), draw.sample(range(0, 24, 2), 2)
        lessons.append(Ranking((tuple(good), tuple(bad)), 1.0))
    settings = RewardSettings(members=2, layers=1, lora_rank=4, epochs=4, batch_size=8)
    members = train_ensemble(rows_of(model), lessons, settings, RunFolder(tmp_path))
    score = score_rows(rows_of(model), members, range(24))
    for own in score:
        assert float((own[1::2, None] > own[None, ::2]).float().mean()) > 0.9


def test_members_learn_their_own_lessons_alone(model: LanguageModel, tmp_path: Path) -> None:
    draw = random.Random(2)
    pairs = [(draw.randrange(1, 24, 2), draw.randrange(0, 24, 2)) for _ in range(60)]
    curricula: list[list[Lesson]] = [
        [Comparison(a, b, 1.0, 1.0) for a, b in pairs],
        [Comparison(a, b, 0.0, 1.0) for a, b in pairs[:30]],
    ]
    settings = RewardSettings(layers=1, lora_rank=4, epochs=4, batch_size=12)
    members = train_members(rows_of(model), curricula, settings, RunFolder(tmp_path), bootstrap=False)
    score = score_rows(rows_of(model), members, range(24))
    agreement = [float((own[1::2, None] > own[None, ::2]).float().mean()) for own in score]
    assert agreement[0] > 0.9 and agreement[1] < 0.1
    assert [row["member"] for row in logged(tmp_path)] == [0] * 20 + [1] * 12
    assert logged(tmp_path)[20]["learning_rate"] == pytest.approx(3e-3)


def test_without_a_bootstrap_an_epoch_sees_every_lesson_once(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons: list[Lesson] = [Comparison(i, i + 1, 1.0, 1.0) for i in range(10)]
    seen: list[Lesson] = []
    step = reward._step

    def watched(rows: BranchStates, batch: Sequence[Lesson], *rest: Any) -> tuple[float, float, float]:
        seen.extend(batch)
        return step(rows, batch, *rest)

    monkeypatch.setattr(reward, "_step", watched)
    settings = RewardSettings(epochs=2, batch_size=4, layers=1, lora_rank=2)
    train_members(rows_of(model), [lessons], settings, RunFolder(tmp_path), bootstrap=False)
    assert [sorted(seen[at : at + 10], key=lessons.index) for at in (0, 10)] == [lessons, lessons]
    assert seen[:10] != seen[10:]


def test_a_margin_makes_leads_larger(model: LanguageModel, tmp_path: Path) -> None:
    lead = []
    for margin in (0.0, 3.0):
        draw = random.Random(2)
        pairs = [(draw.randrange(1, 24, 2), draw.randrange(0, 24, 2)) for _ in range(60)]
        settings = RewardSettings(members=1, layers=1, lora_rank=4, epochs=4, batch_size=12, margin=margin)
        members = train_ensemble(
            rows_of(model), [Comparison(a, b, 1.0, 1.0) for a, b in pairs], settings, RunFolder(tmp_path / str(margin))
        )
        score = score_rows(rows_of(model), members, range(24))[0]
        lead.append(float(score[1::2].mean() - score[::2].mean()))
    assert lead[1] > lead[0] + 0.5
