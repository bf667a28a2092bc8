import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_loop import shaken
from torch import Tensor, nn

from backstay.errors import IntegrityError
from backstay.learn.training_state import TrainingState, adamw, clip_gradients, linear_decay
from backstay.storage import RunFolder


def make(seed: int = 0) -> tuple[TrainingState, Callable[[], Tensor]]:
    """A state with two modules, two optimizers and a generator, and a function that trains one step."""
    modules = {"a": shaken(nn.Linear(3, 2), seed=seed), "b": shaken(nn.Linear(2, 1), seed=seed + 1)}
    optimizers = {name: adamw([module], 0.05, weight_decay=0.1) for name, module in modules.items()}
    generator = torch.Generator().manual_seed(seed)
    state = TrainingState(modules, optimizers, {"noise": generator})

    def step() -> Tensor:
        loss: Tensor = modules["b"](modules["a"](torch.randn(4, 3, generator=generator)).tanh()).square().mean()
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        for optimizer in optimizers.values():
            optimizer.step()
        return loss.detach()

    return state, step


def everything(state: TrainingState) -> list[Tensor]:
    found = [tensor for module in state.modules.values() for tensor in module.state_dict().values()]
    for optimizer in state.optimizers.values():
        for slot in optimizer.state_dict()["state"].values():
            found += [slot[name] for name in sorted(slot)]
    return found + [generator.get_state() for generator in state.generators.values()]


def same(first: TrainingState, second: TrainingState) -> bool:
    pairs = zip(everything(first), everything(second), strict=True)
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    state, step = make()
    for _ in range(3):
        step()
    state.write(tmp_path)
    other, other_step = make(seed=7)
    other_step()
    other.read(tmp_path)
    assert same(state, other)
    assert [float(step()) for _ in range(3)] == [float(other_step()) for _ in range(3)]
    assert same(state, other)


def test_a_fresh_optimizer_survives_as_well(tmp_path: Path) -> None:
    state, step = make()
    state.write(tmp_path)
    other, other_step = make(seed=7)
    other.read(tmp_path)
    assert float(step()) == float(other_step())


def test_a_checkpoint_holds_safetensors_and_json_only(tmp_path: Path) -> None:
    state, step = make()
    step()
    folder = RunFolder(tmp_path)
    state.save(folder, 1, {"order": [3, 1]})
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    names = {"a", "b", "a.optimizer", "b.optimizer", "generators"}
    assert {file.name for file in checkpoint.iterdir()} == {f"{name}.safetensors" for name in names} | {"state.json"}
    for file in checkpoint.glob("*.safetensors"):
        load_file(file)
    json.loads((checkpoint / "state.json").read_text())


def test_resuming_restores_and_cuts_the_logs(tmp_path: Path) -> None:
    state, step = make()
    folder = RunFolder(tmp_path)
    for number in (1, 2, 3):
        folder.metrics({"step": number, "loss": float(step())})
        if number == 2:
            state.save(folder, 2, {"order": [3, 1]})
            at_two, kept = [tensor.clone() for tensor in everything(state)], (tmp_path / "metrics.jsonl").read_bytes()
    other, _ = make(seed=7)
    assert other.resume(RunFolder(tmp_path)) == (2, {"order": [3, 1]})
    assert all(torch.equal(a, b) for a, b in zip(at_two, everything(other), strict=True))
    assert (tmp_path / "metrics.jsonl").read_bytes() == kept


def test_without_a_checkpoint_the_logs_start_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics({"step": 1})
    state, _ = make()
    assert state.resume(folder) is None
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


@pytest.mark.parametrize("broken", ["missing", "cut", "other-shape"])
def test_a_state_that_does_not_fit_is_refused(tmp_path: Path, broken: str) -> None:
    state, step = make()
    step()
    state.write(tmp_path)
    if broken == "missing":
        (tmp_path / "b.optimizer.safetensors").unlink()
    if broken == "cut":
        file = tmp_path / "a.safetensors"
        file.write_bytes(file.read_bytes()[:-5])
    if broken == "other-shape":
        state.modules["a"] = nn.Linear(4, 2)
    with pytest.raises(IntegrityError, match="does not fit this run"):
        state.read(tmp_path)


def test_the_first_step_of_adamw_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.fill_(2.0)
    optimizer = adamw([layer], 0.1, weight_decay=0.5)
    layer.weight.grad = torch.full((1, 1), 1e-4, dtype=torch.float64)
    optimizer.step()
    decayed = 2.0 * (1 - 0.1 * 0.5)
    assert float(layer.weight.detach()) == pytest.approx(decayed - 0.1 * 1e-4 / (1e-4 + 1e-5), abs=1e-12)


def test_only_trainable_weights_are_optimised() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    assert sum(len(group["params"]) for group in adamw([first, second], 0.1).param_groups) == 2


def test_the_learning_rate_falls_linearly() -> None:
    optimizer = adamw([nn.Linear(1, 1)], 0.4)
    rates = [linear_decay(optimizer, 0.4, done / 4) for done in range(5)]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert optimizer.param_groups[0]["lr"] == 0.0


@pytest.mark.parametrize(("limit", "factor"), [(0.0, 1.0), (2.5, 0.5), (50.0, 1.0)])
def test_clipping_scales_all_gradients_together(limit: float, factor: float) -> None:
    first, second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    first.weight.grad, second.weight.grad = torch.tensor([[3.0]]), torch.tensor([[-4.0]])
    assert clip_gradients([first, second], limit) == pytest.approx(5.0)
    assert float(first.weight.grad) == pytest.approx(3 * factor, rel=1e-5)
    assert float(second.weight.grad) == pytest.approx(-4 * factor, rel=1e-5)
