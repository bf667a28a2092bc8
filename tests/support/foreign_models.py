"""Random models of other architectures with the tiny tokenizer, in Hugging Face layout."""

import shutil
from pathlib import Path
from typing import Any

import torch

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
ENDS = {"eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}


def write_foreign(kind: str, folder: Path, cache: Path, **changes: Any) -> Path:
    """A random model of `kind` with spread-out logits; the same arguments give the same weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny = write_tiny(cache)
    vocabulary = (tiny / "tokenizer.json").read_text().count('": ')
    config = AutoConfig.for_model(kind, vocab_size=max(128, vocabulary // 2), **ENDS, **(SIZES[kind] | changes))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        causal = AutoModelForCausalLM.from_config(config)
        for parameter in causal.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    causal.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny / name, folder / name)
    return folder
