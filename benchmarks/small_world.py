"""A world small enough to train policies in seconds: 24 made-up words, a Markov chain, a model that has learned it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from backstay.learn import ModelSettings, SftSettings
from backstay.learn.decoding import sample
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.load import load_model
from backstay.learn.sft import Lesson, train_sft
from backstay.storage import RunFolder

SYMBOLS, LENGTH, PROMPT, PROMPTS = 24, 16, 4, 64
SPECIAL = ("<pad>", "<stop>")
HIDDEN, LAYERS, HEADS, FFN = 32, 2, 4, 64


def shape(folder: Path) -> ModelSettings:
    return ModelSettings(
        source=str(folder), branch_layer=0, train="full", threads=1, system="", device="cpu", lora_rank=8
    )


def write_model(folder: Path, generator: torch.Generator) -> Path:
    """A decoder with random weights over an alphabet of made-up words."""
    folder.mkdir(parents=True)
    words = [*SPECIAL, *(f"t{i}" for i in range(SYMBOLS))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SPECIAL[1], "pad_token": SPECIAL[0]}))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": len(words),
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (len(words), HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        shapes |= {f"{name}self_attn.{part}_proj.weight": (HIDDEN, HIDDEN) for part in "qkvo"}
        shapes |= {f"{name}mlp.{part}_proj.weight": (FFN, HIDDEN) for part in ("gate", "up")}
        shapes[f"{name}mlp.down_proj.weight"] = (HIDDEN, FFN)
        shapes |= {f"{name}{part}_layernorm.weight": (HIDDEN,) for part in ("input", "post_attention")}
    weights = {
        name: torch.ones(size) if len(size) == 1 else torch.randn(size, generator=generator) / size[-1] ** 0.5
        for name, size in sorted(shapes.items())
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def markov(count: int, rng: np.random.Generator) -> np.ndarray:
    """Token ids `[count, PROMPT + LENGTH]` of a random chain whose rows favour a few followers."""
    transition = rng.dirichlet(np.full(SYMBOLS, 0.3), SYMBOLS).cumsum(1)
    state = rng.integers(SYMBOLS, size=count)
    rows = [state]
    for _ in range(PROMPT + LENGTH - 1):
        state = np.minimum((transition[state] < rng.random((count, 1))).sum(1), SYMBOLS - 1)
        rows.append(state)
    return np.stack(rows, 1) + len(SPECIAL)


class SmallWorld:
    """One seed's base model and the policy that has learned the chain; both are made anew from the seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        self.shape = shape(write_model(folder / "base", self.generator))
        self.model = load_model(self.shape)
        lessons = [Lesson(tuple(row[:PROMPT].tolist()), tuple(row[PROMPT:].tolist())) for row in markov(4096, rng)]
        self.prompts = [list(lesson.prompt) for lesson in lessons[:PROMPTS]]
        settings = SftSettings(epochs=4, batch_size=32, learning_rate=1e-2, checkpoint_every=100_000, seed=seed)
        self.reference = train_sft(self.model, lessons, self.shape, settings, RunFolder(folder / "sft"))
        self.reference.requires_grad_(False)

    def play(self, adapters: Sequence[Adapter], count: int, *, seed: int) -> tuple[list[list[int]], list[list[int]]]:
        """Prompts in turn, and a response of a policy to each."""
        prompts = [self.prompts[i % len(self.prompts)] for i in range(count)]
        rollout = sample(
            self.model,
            prompts,
            adapters=adapters,
            max_new_tokens=LENGTH,
            temperature=1.0,
            generator=torch.Generator().manual_seed(seed),
        )
        return prompts, rollout.responses()
