"""Loading a model of another architecture through transformers, and proof that our way of running it is its own.

Nothing in the folder is executed: `trust_remote_code` is never given, weights are safetensors, and configurations that
would make transformers fetch or run something else are refused before it sees them.
"""

import importlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from backstay.errors import IntegrityError, UsageError
from backstay.learn.models.architecture import Architecture
from backstay.learn.models.transformers_decoder import ForeignDecoder, quiet_transformers

TOLERANCE = 1e-3
"""Largest difference in logits, relative to the largest logit, between our way of running a model and its own."""
PADDED = 2
CACHED = 3
PROBE = 7
"""Tokens of the probe, of which CACHED come in one piece before the rest follows one by one."""

_TEXT_ONLY = "give a causal language model for text alone, in a folder that transformers' save_pretrained wrote"
_REFUSED_KEYS = {
    "quantization_config": "the weights are quantised; give them in float32, float16 or bfloat16",
    "transformers_weights": "the configuration names its own weight file; give a folder with model.safetensors",
    "vision_config": _TEXT_ONLY,
    "audio_config": _TEXT_ONLY,
}


def foreign_decoder(folder: Path, branch_layer: int) -> ForeignDecoder:
    """Load a causal language model that our own decoder does not compute, with the branch at layer 0.

    `notice` of the result says what differs from our own decoder, for the user to see. Raises UsageError for a model
    that transformers does not know or that cannot be run this way, IntegrityError for weights that do not fit.
    """
    _check_configuration(folder)
    causal, left_over = _load(folder)
    _check_shape(causal, folder)
    decoder = ForeignDecoder(causal, _architecture(causal))
    silent = _check_equivalence(decoder, folder)
    decoder.leave_out(silent)
    decoder.notice = "; ".join(_notices(decoder, branch_layer, len(silent), left_over))
    return decoder


def _check_configuration(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    kind = config.get("model_type")
    known: Any = importlib.import_module("transformers.models.auto.modeling_auto")
    if kind not in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        code = "; it brings code of its own (auto_map), which is never run" if "auto_map" in config else ""
        raise UsageError(
            f"{folder} holds a model of type {kind!r}, which transformers does not know{code}", cure=_TEXT_ONLY
        )
    for key, cure in _REFUSED_KEYS.items():
        if config.get(key):
            raise UsageError(f"config.json of {folder} has {key}", cure=cure)
    if config.get("is_encoder_decoder"):
        raise UsageError(f"{folder} holds an encoder-decoder model of type {kind!r}", cure=_TEXT_ONLY)
    if (folder / "adapter_config.json").exists():
        raise UsageError(
            f"{folder} holds an adapter beside the model", cure="merge it, or move adapter_config.json away"
        )


def _load(folder: Path) -> tuple[Any, list[str]]:
    """The model in float32, and the names of weights in its files that it does not use."""
    auto: Any = importlib.import_module("transformers").AutoModelForCausalLM
    known = {"trust_remote_code": False, "local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
    try:
        with quiet_transformers():
            # An explicit implementation: the one that a configuration names may be code to download.
            causal, found = auto.from_pretrained(folder, **known, attn_implementation="eager", output_loading_info=True)
    except (ImportError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"transformers cannot load {folder}: {_line(error)}", cure=_TEXT_ONLY) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise IntegrityError(
            f"the weights in {folder} do not load: {_line(error)}", cure="fetch the model again"
        ) from error
    absent = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if absent:
        raise IntegrityError(f"{folder} lacks {len(absent)} weights or has them in another shape, such as {absent[0]}")
    return causal, sorted(found["unexpected_keys"])


def foreign_architecture(folder: Path) -> Architecture:
    """The sizes of a model from its configuration alone; raises UsageError for one that cannot be run."""
    _check_configuration(folder)
    auto: Any = importlib.import_module("transformers").AutoConfig
    try:
        return _sizes(auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"transformers cannot read {folder}: {_line(error)}", cure=_TEXT_ONLY) from error


def _architecture(causal: Any) -> Architecture:
    embedding = causal.get_input_embeddings().weight
    tied = embedding is causal.get_output_embeddings().weight
    return replace(_sizes(causal.config), vocab_size=int(embedding.shape[0]), tie_embeddings=tied)


def _sizes(whole: Any) -> Architecture:
    config = whole.get_text_config(decoder=True)
    heads, width = int(config.num_attention_heads), int(config.hidden_size)
    return Architecture(
        model_type=config.model_type,
        vocab_size=int(config.vocab_size),
        hidden_size=width,
        intermediate_size=int(getattr(config, "intermediate_size", None) or 4 * width),
        n_layers=int(config.num_hidden_layers),
        n_heads=heads,
        n_kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(config, "head_dim", None) or width // heads),
        tie_embeddings=bool(getattr(config, "tie_word_embeddings", False)),
        max_positions=int(getattr(config, "max_position_embeddings", None) or 8192),
    )


def _check_shape(causal: Any, folder: Path) -> None:
    kind = causal.config.model_type
    if causal.base_model is causal or causal.get_output_embeddings() is None:
        raise UsageError(f"{folder}: a {kind} model has no separate body and language-model head", cure=_TEXT_ONLY)
    config = causal.config.get_text_config(decoder=True)
    lacking = [
        name for name in ("hidden_size", "num_hidden_layers", "num_attention_heads") if not hasattr(config, name)
    ]
    if lacking:
        raise UsageError(f"{folder}: the configuration of {kind} has no {', '.join(lacking)}", cure=_TEXT_ONLY)
    width = causal.get_input_embeddings().weight.shape[1]
    if width != config.hidden_size:
        raise UsageError(
            f"{folder}: embeddings are {width} wide and hidden states {config.hidden_size}; both must agree",
            cure="choose another base model",
        )


@torch.no_grad()
def _check_equivalence(decoder: ForeignDecoder, folder: Path) -> set[str]:
    """Compare left-padded, embedded and cached runs with the model's own forward pass on a few tokens.

    Returns the linear layers that were never called. Raises UsageError when the results differ, as they do for models
    that need token ids in every layer, or keep a state that padding or dropped rows disturb.
    """
    kind = decoder.architecture.model_type
    tokens = (torch.arange(1, PROBE + 1) * 7 % decoder.architecture.vocab_size)[None]
    silent = set(decoder.linears())
    handles = [
        module.register_forward_hook(lambda *_, path=path: silent.discard(path))
        for path, module in decoder.linears().items()
    ]
    try:
        own = decoder.causal(input_ids=tokens, use_cache=False).logits[0]
        ways = {
            "left-padded input": _padded_logits(decoder, tokens),
            "cached decoding": _cached_logits(decoder, tokens),
        }
    except Exception as error:
        raise UsageError(
            f"{folder}: a {kind} model cannot be run from its embeddings: {_line(error)}",
            cure="choose another base model",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    for way, logits in ways.items():
        difference = float((logits - own).abs().max() / own.abs().max().clamp(min=1e-6))
        if not difference <= TOLERANCE:
            raise UsageError(
                f"{folder}: {way} of this {kind} model differs from its own forward pass by {difference:.2g} of the "
                f"largest logit, more than {TOLERANCE}",
                cure="choose another base model: training on wrong log-probabilities would be worse than none",
            )
    return silent


def _padded_logits(decoder: ForeignDecoder, tokens: Tensor) -> Tensor:
    padded = torch.cat((torch.zeros(1, PADDED, dtype=torch.long), tokens), 1)
    mask = torch.arange(PADDED + PROBE)[None] >= PADDED
    hidden = decoder.top(decoder.trunk(padded, mask), mask)
    if not bool(hidden.isfinite().all()):
        raise ValueError("states of padding are not finite")
    return decoder.logits(hidden[0, PADDED:])


def _cached_logits(decoder: ForeignDecoder, tokens: Tensor) -> Tensor:
    """The last rows of a batch of two whose first row is dropped on the way, as decoding drops answers that ended."""
    both = torch.cat((tokens.roll(1, 1), tokens))
    cache = decoder.new_cache(PROBE)
    hidden = [_step(decoder, both[:, :CACHED], CACHED, cache)[1:]]
    cache.keep(torch.tensor([False, True]))
    hidden += [_step(decoder, tokens[:, i : i + 1], i + 1, cache) for i in range(CACHED, PROBE)]
    return decoder.logits(torch.cat(hidden, 1)[0])


def _step(decoder: ForeignDecoder, tokens: Tensor, total: int, cache: Any) -> Tensor:
    mask = torch.ones(len(tokens), total, dtype=torch.bool)
    hidden = decoder.top(decoder.trunk(tokens, mask, cache), mask, (), cache)
    cache.advance(tokens.shape[1])
    return hidden


def _notices(decoder: ForeignDecoder, branch_layer: int, silent: int, left_over: list[str]) -> Iterator[str]:
    kind, layers = decoder.architecture.model_type, decoder.architecture.n_layers
    sizes = [math.prod(shape) for shape in decoder.lora_shapes().values()]
    embeddings = {id(p): p.numel() for p in (decoder.embedding, decoder.causal.get_output_embeddings().weight)}
    inside = sum(p.numel() for p in decoder.causal.parameters()) - sum(embeddings.values())
    forced = f" (model.branch_layer={branch_layer} does not apply)" if branch_layer else ""
    yield f"{kind} runs through transformers with the branch at layer 0{forced}"
    yield (
        f"adapters sit on {len(sizes)} linear layers in all {layers} layers ({sum(sizes) / max(inside, 1):.0%} of the "
        "weights outside the embeddings), and no layer is shared between policy, reference and reward"
    )
    yield f"reward.layers counts from the embeddings, and 0 stands for all {layers} layers"
    if silent:
        yield f"{silent} linear layers are never called on text and get no adapter"
    if left_over:
        yield f"{len(left_over)} weights in the files are not used by this architecture, such as {left_over[0]}"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
