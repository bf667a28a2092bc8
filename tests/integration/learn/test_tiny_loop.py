"""Demonstrations, a reward ensemble on noisy comparisons, PPO: the policy gets better by a rule that it never saw."""

import json
import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from tiny_loop import gold, lessons, load_tiny, prompt_tokens, tiny_shape

from backstay.learn import PpoSettings, RewardSettings, SftSettings
from backstay.learn.branch_states import BranchStates
from backstay.learn.decoding import sample
from backstay.learn.lessons import Comparison
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.reward import score_rows, train_ensemble
from backstay.learn.rl import PolicyTrainer
from backstay.learn.scalar_models import RewardMember, normalise
from backstay.learn.sft import train_sft
from backstay.storage import RunFolder

pytestmark = pytest.mark.integration
LIMIT = 8
PROMPTS = 10


def answers(model: LanguageModel, adapters: tuple[Adapter, ...], rounds: int, seed: int) -> list[list[int]]:
    """`rounds` responses to every prompt; response i belongs to prompt i modulo the number of prompts."""
    rollout = sample(
        model,
        prompt_tokens(model) * rounds,
        adapters=adapters,
        max_new_tokens=LIMIT,
        temperature=1.0,
        generator=torch.Generator().manual_seed(seed),
    )
    lengths = rollout.dialogues.response_B.tolist()
    return [row[:length] for row, length in zip(rollout.dialogues.responses_B_R.tolist(), lengths, strict=True)]


def golds(model: LanguageModel, responses: list[list[int]]) -> list[int]:
    return [gold(model.decode(response)) for response in responses]


def compared(scores: list[int]) -> list[Comparison]:
    """Pairs of responses to one prompt, with the better one preferred in nine of ten votes."""
    draw, made = random.Random(0), []
    for prompt in range(PROMPTS):
        for _ in range(60):
            a, b = (k * PROMPTS + prompt for k in draw.sample(range(len(scores) // PROMPTS), 2))
            if scores[a] != scores[b]:
                made.append(Comparison(a, b, 0.9 if scores[a] > scores[b] else 0.1, 1.0))
    return made


def rewarded(model: LanguageModel, sft: Adapter, folder: Path) -> list[RewardMember]:
    responses = answers(model, (sft,), 20, seed=0)
    scores = golds(model, responses)
    rows = BranchStates(model, prompt_tokens(model), responses, [i % PROMPTS for i in range(len(responses))])
    settings = RewardSettings(members=3, layers=1, epochs=4, learning_rate=3e-3)
    members = train_ensemble(rows, compared(scores), settings, RunFolder(folder))
    raw = score_rows(rows, members, range(len(rows)))
    normalise(members, raw)
    agreement = torch.corrcoef(torch.stack([raw.mean(0), torch.tensor(scores).float()]))[0, 1]
    assert float(agreement) > 0.3
    return members


@dataclass(frozen=True)
class Prepared:
    """A policy from demonstrations, and the rewards learned from comparisons of its responses."""

    model: LanguageModel
    sft: Adapter
    members: list[RewardMember]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder, model = tmp_path_factory.mktemp("prepared"), load_tiny()
    settings = SftSettings(epochs=6, batch_size=16, learning_rate=1e-2)
    sft = train_sft(model, lessons(model, 120), tiny_shape(), settings, RunFolder(folder / "sft")).requires_grad_(False)
    return Prepared(model, sft, rewarded(model, sft, folder / "reward"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"algorithm": "rloo", "group": 4}, marks=pytest.mark.slow),
        pytest.param({"algorithm": "grpo", "group": 4}, marks=pytest.mark.slow),
        pytest.param({"algorithm": "reinforce++"}, marks=pytest.mark.slow),
        pytest.param({"shaping": "par"}, marks=pytest.mark.slow),
        pytest.param({"critic": "reward", "value_clip": 0.0, "value_learning_rate": 3e-3}, marks=pytest.mark.slow),
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "ppo",
)
def test_the_whole_loop_makes_the_policy_better_within_its_kl_budget(
    prepared: Prepared, changes: dict[str, Any], tmp_path: Path
) -> None:
    model, sft = prepared.model, prepared.sft
    given: dict[str, Any] = {"updates": 10, "episodes": 64, "max_new_tokens": LIMIT, "temperature": 1.0}
    given |= {"learning_rate": 5e-3, "kl_coefficient": 0.02, "micro_batch": 64}
    settings = PpoSettings(**(given | changes))
    result = PolicyTrainer(
        model,
        prompt_tokens(model),
        reference=(sft,),
        members=prepared.members,
        shape=tiny_shape(),
        settings=settings,
        folder=RunFolder(tmp_path),
        gold=lambda _index, text, _finished: gold(text),
    ).run()
    before = fmean(golds(model, answers(model, (sft,), 40, seed=9)))
    after = fmean(golds(model, answers(model, (sft, result.policy), 40, seed=9)))
    assert result.reason == "completed"
    assert 0 < result.kl_nats < settings.kl_budget
    assert after - before > 0.2
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert abs(logged[0]["kl_nats"]) < 1e-4
    assert fmean(row["reward_mean"] for row in logged[-3:]) > fmean(row["reward_mean"] for row in logged[:3])
    assert all(row["ratio_first"] == pytest.approx(1.0, abs=1e-5) for row in logged[:-1])
    assert [b["update"] - a["update"] for a, b in pairwise(logged)] == [1] * settings.updates
