"""A trained policy as a model of its own: adapters folded into the weights, in Hugging Face layout."""

import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from backstay.errors import IntegrityError, UsageError
from backstay.learn.models.adapters import Adapter, merged_weight
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import model_folder
from backstay.learn.models.transformers_decoder import ForeignDecoder
from backstay.storage.atomic import disk_errors, replace_folder_atomic

TEXT_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
CARD = "README.md"


def export_merged(model: LanguageModel, adapters: Sequence[Adapter], folder: Path, *, model_card: str) -> None:
    """Write base and adapters as one model: config.json, model.safetensors in float32, tokenizer files, README.md.

    The folder appears whole or not at all. Raises UsageError when it exists and IntegrityError when an adapter has
    weights for a layer that the base lacks.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists", cure="choose another name, or delete it")
    _check_fit(model.decoder, adapters)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        with disk_errors(folder):
            temporary.mkdir(parents=True)
            _write(model, adapters, temporary, model_card)
        replace_folder_atomic(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def merged_weights(decoder: Decoder, adapters: Sequence[Adapter]) -> dict[str, Tensor]:
    """Every weight of our own decoder with the adapters folded in, under Hugging Face's names."""
    merged = {
        name: merged_weight(name.removesuffix(".weight"), weight, adapters) for name, weight in decoder.weights.items()
    }
    return {name: weight.detach().float().cpu().contiguous() for name, weight in merged.items()}


def _write(model: LanguageModel, adapters: Sequence[Adapter], target: Path, model_card: str) -> None:
    source = model_folder(model.name)
    if isinstance(model.decoder, ForeignDecoder):
        model.decoder.save_merged(adapters, target)
    else:
        (target / "config.json").write_text(json.dumps(_in_float32(source), indent=1, sort_keys=True) + "\n")
        save_file(merged_weights(model.decoder, adapters), target / "model.safetensors", metadata={"format": "pt"})
    for name in TEXT_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    (target / CARD).write_text(model_card, encoding="utf-8")
    for weights in target.glob("*.safetensors"):
        weights.chmod((target / CARD).stat().st_mode)  # safetensors leaves files that only their owner may read


def _in_float32(source: Path) -> dict[str, Any]:
    """The base's configuration with the precision of what is written: transformers casts to the one it names."""
    config: dict[str, Any] = json.loads((source / "config.json").read_bytes())
    config.pop("torch_dtype", None)
    return config | {"dtype": "float32"}


def _check_fit(decoder: Decoder, adapters: Sequence[Adapter]) -> None:
    known = decoder.weights.keys() | {name.removesuffix(".weight") for name in decoder.weights}
    for adapter in adapters:
        foreign = sorted(set(adapter.shapes) - known)
        if foreign:
            raise IntegrityError(
                f"adapter {adapter.name!r} has weights for {foreign[0]}, which this base lacks",
                cure="export with the base that the adapter was trained on",
            )
