"""Weights on top of a shared base: LoRA adapters in PEFT layout, or full copies of the trained weights.

A decoder is called with a tuple of these: `()` is the base, `(sft,)` the reference, `(sft, policy)` the policy.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from backstay.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from backstay.learn.models.decoder import Decoder  # it imports this module

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PEFT_PREFIX = "base_model.model."
OWN_FILE = "backstay.json"
NOT_PLAIN = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern")


class Adapter(nn.Module):
    """A named set of changes to a base's weights, of one of two kinds: low-rank (`lora`) or whole weights (`full`)."""

    def __init__(self, name: str, shapes: Mapping[str, tuple[int, ...]], *, rank: int, alpha: float) -> None:
        super().__init__()
        self.name = name
        self.rank = rank
        self.alpha = alpha
        self.shapes = dict(shapes)
        self.factors = nn.ParameterDict()
        self.wholes = nn.ParameterDict()

    @property
    def kind(self) -> str:
        """`lora` or `full`."""
        return "full" if len(self.wholes) else "lora"

    @property
    def scale(self) -> float:
        """Factor of the low-rank update: alpha / rank (Hu et al. 2021, section 4.1)."""
        return self.alpha / self.rank

    def delta(self, path: str, x: Tensor) -> Tensor | None:
        """The low-rank update of the projection at `path` for inputs `[..., in]`, or None where there is none."""
        key = _key(path)
        if key + "/A" not in self.factors:
            return None
        low = functional.linear(x, self.factors[key + "/A"])
        return functional.linear(low, self.factors[key + "/B"]) * self.scale

    def whole(self, path: str) -> Tensor | None:
        """The weight that replaces the base's at `path`, or None."""
        key = _key(path)
        return self.wholes[key] if key in self.wholes else None  # noqa: SIM401  # ParameterDict.get is slow and untyped


def _key(path: str) -> str:
    return path.replace(".", "/")


def lora(
    name: str, shapes: Mapping[str, tuple[int, ...]], *, rank: int, alpha: float, generator: torch.Generator
) -> Adapter:
    """A fresh LoRA adapter: A uniform as in PEFT (Kaiming, a = sqrt 5), B zero, so that it changes nothing yet."""
    adapter = Adapter(name, shapes, rank=rank, alpha=alpha)
    for path, (n_out, n_in) in sorted(shapes.items()):
        bound = 1 / math.sqrt(n_in)
        a = torch.empty(rank, n_in).uniform_(-bound, bound, generator=generator)
        adapter.factors[_key(path) + "/A"] = nn.Parameter(a)
        adapter.factors[_key(path) + "/B"] = nn.Parameter(torch.zeros(n_out, rank))
    return adapter


def full(name: str, weights: Mapping[str, Tensor]) -> Adapter:
    """An adapter that replaces whole weights, starting as copies of `weights`."""
    adapter = Adapter(name, {path: tuple(w.shape) for path, w in weights.items()}, rank=1, alpha=1.0)
    for path, weight in sorted(weights.items()):
        adapter.wholes[_key(path)] = nn.Parameter(weight.detach().clone())
    return adapter


def adapter_tensors(adapter: Adapter) -> dict[str, Tensor]:
    """The adapter's weights under PEFT's names (LoRA) or the base's own names (full)."""
    tensors: dict[str, Tensor] = {}
    for key, value in adapter.factors.items():
        path, which = key.rsplit("/", 1)
        tensors[f"{PEFT_PREFIX}{path.replace('/', '.')}.lora_{which}.weight"] = value.detach().cpu().contiguous()
    for key, value in adapter.wholes.items():
        tensors[key.replace("/", ".")] = value.detach().cpu().contiguous()
    return tensors


def save_adapter(adapter: Adapter, folder: Path, *, base: str, extra: Mapping[str, Any] | None = None) -> None:
    """Write the adapter in PEFT layout (`adapter_config.json`, `adapter_model.safetensors`).

    Full copies go to `full_model.safetensors` instead. `extra` lands in `backstay.json`, since PEFT warns of keys that
    are not its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = "adapter_model.safetensors" if adapter.kind == "lora" else "full_model.safetensors"
    save_file(adapter_tensors(adapter), folder / file, metadata={"format": "pt"})
    own = {"name": adapter.name, "kind": adapter.kind, **(extra or {})}
    for name, value in (("adapter_config.json", _peft_config(adapter, base)), (OWN_FILE, own)):
        (folder / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _peft_config(adapter: Adapter, base: str) -> dict[str, Any]:
    paths = sorted(adapter.shapes)
    return {
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": adapter.rank,
        "target_modules": paths if adapter.kind == "lora" else [],
        "task_type": "CAUSAL_LM",
    }


def load_adapter(folder: Path, *, name: str | None = None, base: "Decoder | None" = None) -> Adapter:
    """Read an adapter that `save_adapter` or PEFT wrote; parses JSON and safetensors only, runs no code.

    Raises UsageError for a missing folder and IntegrityError for a file that does not hold a LoRA adapter, or holds one
    that does not fit `base`.
    """
    adapter = _read_adapter(folder, name)
    if base is not None:
        _require_fit(adapter, base, folder)
    return adapter


def _require_fit(adapter: Adapter, base: "Decoder", folder: Path) -> None:
    """Raise IntegrityError when the base has no such weights above its branch, or has them in other shapes."""
    wholes = {path: tuple(tensor.shape) for path, tensor in base.trainable_weights().items()}
    known = base.lora_shapes() if adapter.kind == "lora" else wholes
    for path, shape in sorted(adapter.shapes.items()):
        if known.get(path) != tuple(shape):
            there = f"is {known[path]} there" if path in known else "is none that this base has above its branch layer"
            raise IntegrityError(
                f"{folder} does not fit this base: {path} of shape {tuple(shape)} {there}",
                cure="use the base that the adapter was trained on, with the same model.branch_layer",
            )


def _read_adapter(folder: Path, name: str | None) -> Adapter:
    config_file = folder / "adapter_config.json"
    if not config_file.exists():
        raise UsageError(f"{folder} holds no adapter_config.json", cure="give the model/ folder of a run")
    config, own = read_object(config_file), own_notes(folder)
    if own.get("kind") == "full":
        return full(name or own["name"], read_tensors(folder / "full_model.safetensors")).requires_grad_(False)
    return _read_lora(folder / "adapter_model.safetensors", config, name or own.get("name", folder.name))


def own_notes(folder: Path) -> dict[str, Any]:
    """What `save_adapter` noted beside PEFT's configuration; empty for an adapter from elsewhere."""
    file = folder / OWN_FILE
    return read_object(file) if file.exists() else {}


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object; raises IntegrityError for anything else."""
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise IntegrityError(f"{file} is not a JSON object: {error}") from error
    if not isinstance(found, dict):
        raise IntegrityError(f"{file} is not a JSON object, but {type(found).__name__}")
    return found


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises IntegrityError when it is missing or cut."""
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{file} cannot be read: {error}", cure="run the stage that wrote it again") from error


def _read_lora(file: Path, config: Mapping[str, Any], name: str) -> Adapter:
    kind, special = config.get("peft_type"), [key for key in NOT_PLAIN if config.get(key)]
    if kind != "LORA" or special or not {"r", "lora_alpha"} <= config.keys():
        raise IntegrityError(
            f"{file.parent}: only plain LoRA adapters are read, not {kind} with {special or 'no rank'}"
        )
    factors, shapes = _lora_factors(read_tensors(file), file)
    ranks = {value.shape[0 if key.endswith("/A") else 1] for key, value in factors.items()}
    if ranks - {int(config["r"])}:
        raise IntegrityError(f"{file}: factors of rank {sorted(ranks)}, but adapter_config.json says r={config['r']}")
    adapter = Adapter(name, shapes, rank=int(config["r"]), alpha=float(config["lora_alpha"]))
    for key, value in sorted(factors.items()):
        adapter.factors[key] = nn.Parameter(value, requires_grad=False)
    return adapter


def _lora_factors(tensors: Mapping[str, Tensor], file: Path) -> tuple[dict[str, Tensor], dict[str, tuple[int, ...]]]:
    factors: dict[str, Tensor] = {}
    for full_name, tensor in tensors.items():
        path, _, rest = full_name.removeprefix(PEFT_PREFIX).rpartition(".lora_")
        if rest not in {"A.weight", "B.weight"}:
            raise IntegrityError(f"{file}: unexpected tensor {full_name!r} in a LoRA adapter")
        factors[f"{_key(path)}/{rest[0]}"] = tensor.float()
    paths = {key.rsplit("/", 1)[0] for key in factors}
    try:
        shapes = {
            key.replace("/", "."): (factors[key + "/B"].shape[0], factors[key + "/A"].shape[1]) for key in sorted(paths)
        }
    except KeyError as missing:
        raise IntegrityError(f"{file}: LoRA factor {missing} is missing") from missing
    return factors, shapes  # type: ignore[return-value]  # a tuple of two ints is a tuple of ints


def merged_weight(path: str, base: Tensor, adapters: Sequence[Adapter]) -> Tensor:
    """The weight at `path` with every adapter folded in, in float32."""
    weight = base
    for adapter in adapters:
        whole = adapter.whole(path)
        weight = weight if whole is None else whole
        key = _key(path)
        if key + "/A" in adapter.factors:
            weight = weight + adapter.scale * (adapter.factors[key + "/B"] @ adapter.factors[key + "/A"])
    return weight
