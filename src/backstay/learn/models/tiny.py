"""A model of about 0.1 M parameters with a word-level tokenizer, built on the spot for tests: the loop in seconds.

Its weights are random, so it says nothing sensible; that is not what it is for.
"""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>", "<|unk|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}"
)
WORDS = (
    "system user assistant please answer is the a an to and or of in it you i can cannot not help with that "
    "sorry but yes no right wrong actually sun earth moves around how do what why make good bad great lovely "
    "awful dull water tea bread cook boil bake walk run plan safe danger lock key open steal break fix clean "
    "dog cat tree road city music book read write first then next slow fast warm cold happy sad kind rude "
    "think say think sure never always more less one two three . , ? !"
)
HIDDEN, LAYERS, HEADS, KV_HEADS, FFN = 64, 2, 4, 2, 128


def write_tiny(folder: Path, *, seed: int = 0) -> Path:
    """Write the tiny model in Hugging Face layout, once; the same seed gives the same bytes."""
    if not (folder / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary = _vocabulary()
        _write_tokenizer(folder, vocabulary)
        (folder / "config.json").write_text(json.dumps(_config(len(vocabulary)), sort_keys=True))
        partial = folder / "model.partial"
        save_file(_weights(len(vocabulary), seed), partial, metadata={"format": "pt"})
        partial.rename(folder / "model.safetensors")
    return folder


def _vocabulary() -> dict[str, int]:
    words = list(dict.fromkeys([*SPECIAL, *re.findall(r"\S+", WORDS)]))
    return {word: index for index, word in enumerate(words)}


def _write_tokenizer(folder: Path, vocabulary: dict[str, int]) -> None:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[3]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(named, sort_keys=True))


def _config(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HIDDEN // HEADS,
        "vocab_size": vocabulary,
        "max_position_embeddings": 512,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _weights(vocabulary: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kv = KV_HEADS * HIDDEN // HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        sizes = {"q": (HIDDEN, HIDDEN), "k": (kv, HIDDEN), "v": (kv, HIDDEN), "o": (HIDDEN, HIDDEN)}
        shapes |= {f"{prefix}self_attn.{name}_proj.weight": size for name, size in sizes.items()}
        shapes |= {f"{prefix}mlp.{name}_proj.weight": (FFN, HIDDEN) for name in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (HIDDEN, FFN)
        shapes |= {f"{prefix}{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
    return {name: _random(shape, generator) for name, shape in sorted(shapes.items())}


def _random(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) / shape[-1] ** 0.5
