"""Weights, optimizer and random state as safetensors and JSON: what an exact resume needs, and no pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from backstay.errors import IntegrityError
from backstay.storage import RunFolder


def adamw(modules: list[nn.Module], learning_rate: float, *, weight_decay: float = 0.0) -> AdamW:
    """AdamW over the trainable parameters, with eps 1e-5 as in the reference PPO implementations."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, eps=1e-5)


def linear_decay(optimizer: Optimizer, peak: float, done_share: float) -> float:
    """Set the learning rate to peak * (1 - share of steps done) and return it."""
    rate = peak * (1 - done_share)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def clip_gradients(modules: list[nn.Module], limit: float) -> float:
    """Scale gradients down to a total norm of `limit` (0 = leave them) and return the norm before."""
    parameters = [p for module in modules for p in module.parameters() if p.grad is not None]
    return float(nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else float("inf")))


class TrainingState:
    """Everything that a training stage changes, saved and restored as one."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        generators: Mapping[str, torch.Generator],
    ) -> None:
        self.modules = dict(modules)
        self.optimizers = dict(optimizers)
        self.generators = dict(generators)

    def save(self, folder: RunFolder, step: int, numbers: Mapping[str, Any]) -> None:
        """Write a checkpoint after `step` steps; `numbers` is JSON that `resume` gives back."""
        with folder.checkpoint_writer(step, dict(numbers)) as path:
            self.write(path)

    def resume(self, folder: RunFolder) -> tuple[int, dict[str, Any]] | None:
        """Restore the last whole checkpoint and cut the logs back to it; None (and empty logs) when there is none."""
        checkpoint = folder.last_checkpoint()
        if checkpoint is None:
            folder.truncate({})
            return None
        self.read(checkpoint.path)
        folder.truncate(checkpoint.positions)
        return checkpoint.step, dict(checkpoint.state)

    def write(self, path: Path) -> None:
        """One safetensors file a module, an optimizer, and for all generators."""
        for name, module in self.modules.items():
            _save(module.state_dict(), path / f"{name}.safetensors")
        for name, optimizer in self.optimizers.items():
            _save(_optimizer_tensors(optimizer), path / f"{name}.optimizer.safetensors")
        _save({name: g.get_state() for name, g in self.generators.items()}, path / "generators.safetensors")

    def read(self, path: Path) -> None:
        """Restore from files that `write` made; raises IntegrityError when they do not fit."""
        try:
            for name, module in self.modules.items():
                module.load_state_dict(load_file(path / f"{name}.safetensors"))
            for name, optimizer in self.optimizers.items():
                _restore_optimizer(optimizer, load_file(path / f"{name}.optimizer.safetensors"))
            states = load_file(path / "generators.safetensors")
            for name, generator in self.generators.items():
                generator.set_state(states[name])
        except (RuntimeError, KeyError, OSError, SafetensorError) as error:
            raise IntegrityError(
                f"{path} does not fit this run: {error}", cure="delete the run folder and run the stage again"
            ) from error


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{key}": value
        for index, parameter in enumerate(_parameters(optimizer))
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    for index, parameter in enumerate(_parameters(optimizer)):
        prefix = f"{index}."
        mine = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        moved = {key: t if key == "step" else t.to(parameter.device) for key, t in mine.items()}
        if moved:
            optimizer.state[parameter] = moved
