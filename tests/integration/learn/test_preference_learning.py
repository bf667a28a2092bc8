"""Every offline loss teaches the tiny model, and one that transformers runs, to prefer what the pairs prefer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_models import write_foreign
from tiny_loop import BLAME, PRAISE, SUBJECTS, fresh_adapter, gold, load_tiny, prompt_tokens, tiny_shape

from backstay.learn import DpoSettings, ModelSettings
from backstay.learn.decoding import sample
from backstay.learn.lessons import Comparison
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.preference import PreferenceTrainer
from backstay.storage import RunFolder

pytestmark = pytest.mark.integration


def praise_over_blame(
    model: LanguageModel, reference: Adapters, shape: ModelSettings, folder: Path, **changes: Any
) -> PreferenceTrainer:
    """To every subject five pairs in which praise beats blame, told in either order."""
    responses: list[list[int]] = []
    prompt_of: list[int] = []
    pairs: list[Comparison] = []
    for index, subject in enumerate(SUBJECTS):
        for number, (good, bad) in enumerate(zip(PRAISE, BLAME, strict=False)):
            row, turned = len(responses), number % 2 == 1
            responses += [
                model.response_tokens(f"{subject} is {word} .", finished=True, limit=12) for word in (good, bad)
            ]
            prompt_of += [index, index]
            pairs.append(Comparison(row + turned, row + 1 - turned, 0.05 if turned else 0.95, 1.0))
    settings = DpoSettings(**({"learning_rate": 3e-3, "epochs": 3, "batch_size": 16, "kl_budget": 0.0} | changes))
    return PreferenceTrainer(
        model,
        prompt_tokens(model),
        responses,
        prompt_of,
        pairs,
        reference=reference,
        shape=shape,
        settings=settings,
        folder=RunFolder(folder),
    )


def mean_gold(model: LanguageModel, adapters: tuple[Adapter, ...]) -> float:
    rollout = sample(
        model,
        prompt_tokens(model) * 40,
        adapters=adapters,
        max_new_tokens=8,
        temperature=1.0,
        generator=torch.Generator().manual_seed(9),
    )
    scores = [gold(model.decode(tokens)) for tokens in rollout.responses()]
    return sum(scores) / len(scores)


@pytest.mark.parametrize("loss", ["dpo", "ipo", "cdpo", "robust", "kto"])
def test_sampled_answers_follow_the_pairs(tmp_path: Path, loss: str) -> None:
    model, shape = load_tiny(), tiny_shape()
    sft = fresh_adapter(model, shape).requires_grad_(False)
    flips = {"label_smoothing": 0.05} if loss in ("cdpo", "robust") else {}
    result = praise_over_blame(model, (sft,), shape, tmp_path, loss=loss, **flips).run()
    before, after = mean_gold(model, (sft,)), mean_gold(model, (sft, result.policy))
    assert after - before > 0.15, (before, after)
    assert result.kl_nats is not None and result.kl_nats > 0


def test_a_model_that_transformers_runs_is_trained_too(tmp_path: Path) -> None:
    folder = write_foreign("gpt2", tmp_path / "gpt2", tmp_path / "tiny")
    shape = ModelSettings(source=str(folder), threads=1, system="", lora_rank=4, device="cpu")
    model = load_model(shape)
    praise_over_blame(model, (), shape, tmp_path / "run", epochs=2).run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert rows[-1]["loss"] < 0.65 and rows[-1]["accuracy"] > 0.8
