"""Random models of other architectures with the tiny tokenizer, in Hugging Face layout."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from backstay.learn.models.tiny import write_tiny

SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128},
    "gemma3_text": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "gemma2": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 4,
        "final_logit_softcapping": 2.0,
    },
    "phi3": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "original_max_position_embeddings": 128,
    },
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    },
    "mixtral": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 3,
    },
}
PADDING_SENSITIVE: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}
ENDS = {"eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}


def write_foreign(kind: str, folder: Path, cache: Path, **changes: Any) -> Path:
    """A random model of `kind` with spread-out logits; the same arguments give the same weights."""
    transformers: Any = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    tiny = write_tiny(cache)
    vocabulary = Tokenizer.from_file(str(tiny / "tokenizer.json")).get_vocab_size()
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=vocabulary, **ENDS, **((SIZES | PADDING_SENSITIVE)[kind] | changes)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        causal = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in causal.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    causal.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny / name, folder / name)
    return folder
