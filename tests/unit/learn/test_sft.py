import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_adapter, lessons, shaken, tiny_shape
from torch import Tensor

from backstay.learn import SftSettings
from backstay.learn.batches import Dialogues
from backstay.learn.branch_states import BranchStates
from backstay.learn.models.adapters import Adapter, adapter_tensors
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import response_logprobs
from backstay.learn.sft import Lesson, _loss, train_sft
from backstay.storage import RunFolder


def rows_of(model: LanguageModel, taught: Sequence[Lesson]) -> BranchStates:
    return BranchStates(model, [x.prompt for x in taught], [x.response for x in taught], range(len(taught)))


def slow_nll(model: LanguageModel, lesson: Lesson, adapters: tuple[Adapter, ...]) -> float:
    """Summed cross-entropy of a response, token by token from a plain pass."""
    tokens = torch.tensor([[*lesson.prompt, *lesson.response]])
    real = torch.ones(tokens.shape, dtype=torch.bool)
    decoder = model.decoder
    logits = decoder.logits(decoder.top(decoder.trunk(tokens, real), real, adapters), adapters)[0].detach()
    chances, start = logits.softmax(-1), len(lesson.prompt)
    return -sum(float(chances[start - 1 + i, token].log()) for i, token in enumerate(lesson.response))


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_is_the_mean_over_response_tokens(model64: LanguageModel) -> None:
    taught = [*lessons(model64, 4), Lesson((1, 5, 9), (40, 41, 42, 43, 44, 45, 2))]
    adapter = shaken(fresh_adapter(model64, tiny_shape()))
    found = _loss(rows_of(model64, taught), range(5), adapter)
    slow = sum(slow_nll(model64, lesson, (adapter,)) for lesson in taught)
    assert found == pytest.approx(slow / sum(len(lesson.response) for lesson in taught), abs=1e-10)


def gradients(model: LanguageModel, batches: list[list[int]], taught: Sequence[Lesson]) -> list[Tensor]:
    """Gradients of the loss of all `batches` as one step, added up batch by batch."""
    adapter = shaken(fresh_adapter(model, tiny_shape()))
    rows, total = rows_of(model, taught), sum(len(taught[i].response) for batch in batches for i in batch)
    for batch in batches:
        dialogues, branch = rows.batch(batch)
        loss = -response_logprobs(model.decoder, dialogues, branch, (adapter,)).sum() / total
        torch.autograd.backward(loss)
    return [parameter.grad for parameter in adapter.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("batches", [[[4, 2, 0, 3, 1]], [[0], [1], [2], [3], [4]], [[3, 4], [0, 2, 1]]])
def test_order_and_split_of_a_batch_do_not_matter(model64: LanguageModel, batches: list[list[int]]) -> None:
    taught = [*lessons(model64, 4), Lesson((1, 5, 9), (40, 41, 42, 43, 44, 45, 2))]
    whole, split = gradients(model64, [[0, 1, 2, 3, 4]], taught), gradients(model64, batches, taught)
    assert max(float((a - b).abs().max()) for a, b in zip(whole, split, strict=True)) < 1e-10
    assert max(float(a.abs().max()) for a in whole) > 1e-3


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_training_learns_and_logs_every_step(model: LanguageModel, tmp_path: Path, kind: str) -> None:
    taught = lessons(model, 10)
    settings = SftSettings(epochs=6, batch_size=4, learning_rate=1e-2)
    adapter = train_sft(model, taught, tiny_shape(train=kind), settings, RunFolder(tmp_path))
    rows = metrics(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 19))  # three batches a pass: 4, 4 and 2
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-2 * (1 - i / 18) for i in range(18)])
    before = sum(slow_nll(model, lesson, ()) for lesson in taught)
    after = sum(slow_nll(model, lesson, (adapter,)) for lesson in taught)
    assert after < before / 2
    assert adapter.kind == kind
    page = (Path(__file__).parents[3] / "docs" / "learn" / "metrics.md").read_text().split("\n## ")
    assert all(f"| `{name}` |" in page[1] for name in rows[0])


def test_every_pass_takes_every_lesson_once(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    plain = BranchStates.batch

    def noted(self: BranchStates, rows: Sequence[int], adapters: Any = ()) -> tuple[Dialogues, Tensor]:
        seen.append(list(rows))
        return plain(self, rows, adapters)

    monkeypatch.setattr(BranchStates, "batch", noted)
    train_sft(model, lessons(model, 10), tiny_shape(), SftSettings(epochs=3, batch_size=4), RunFolder(tmp_path))
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    passes = [[row for rows in seen[i : i + 3] for row in rows] for i in (0, 3, 6)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_equal_seeds_give_equal_adapters(model: LanguageModel, tmp_path: Path) -> None:
    made = []
    for index, seed in enumerate((1, 1, 2)):
        settings = SftSettings(epochs=1, batch_size=4, seed=seed)
        adapter = train_sft(model, lessons(model, 8), tiny_shape(), settings, RunFolder(tmp_path / str(index)))
        made.append(torch.cat([tensor.flatten() for tensor in adapter_tensors(adapter).values()]))
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_gradient_limit_bounds_the_step_but_not_the_logged_norm(model: LanguageModel, tmp_path: Path) -> None:
    norms = []
    for limit in (0.0, 1e-3):
        settings = SftSettings(epochs=1, batch_size=8, max_grad_norm=limit)
        train_sft(model, lessons(model, 8), tiny_shape(), settings, RunFolder(tmp_path / str(limit)))
        norms.append(metrics(tmp_path / str(limit))[0]["grad_norm"])
    assert norms[0] == norms[1] > 1e-3
