"""What shape a decoder has, read from a Hugging Face `config.json`."""

from dataclasses import dataclass
from typing import Any

from backstay.errors import UsageError

LLAMA_FAMILY = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class Architecture:
    """Sizes and switches of a decoder of the Llama family."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = True
    attention_bias: bool = False
    query_key_norm: bool = False
    max_positions: int = 8192

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.n_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Width of all key (or value) heads together."""
        return self.n_kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer, norms left out."""
        attention = self.hidden_size * (2 * self.query_size + 2 * self.key_value_size)
        return attention + 3 * self.hidden_size * self.intermediate_size


def supports(config: dict[str, Any]) -> bool:
    """Whether our own decoder computes this configuration exactly; anything else goes through transformers."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    plain_rope = rope.get("rope_type", rope.get("type", "default")) == "default"
    windowed = bool(config.get("sliding_window")) and config.get("use_sliding_window", True)
    plain = config.get("hidden_act", "silu") == "silu" and not config.get("mlp_bias", False)
    plain = plain and not (config.get("attention_bias", False) and config["model_type"] != "qwen2")
    return config.get("model_type") in LLAMA_FAMILY and plain_rope and plain and not windowed


def parse_architecture(config: dict[str, Any]) -> Architecture:
    """Read sizes from a Hugging Face configuration; raises UsageError when a size is missing."""
    try:
        return _parse(config)
    except KeyError as missing:
        raise UsageError(
            f"config.json of this model has no {missing}", cure="give a folder written by transformers' save_pretrained"
        ) from missing


def _parse(config: dict[str, Any]) -> Architecture:
    heads = int(config["num_attention_heads"])
    rope = config.get("rope_parameters") or {}
    return Architecture(
        model_type=config["model_type"],
        vocab_size=int(config["vocab_size"]),
        hidden_size=int(config["hidden_size"]),
        intermediate_size=int(config["intermediate_size"]),
        n_layers=int(config["num_hidden_layers"]),
        n_heads=heads,
        n_kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        tie_embeddings=bool(config.get("tie_word_embeddings", False)),
        attention_bias=config["model_type"] == "qwen2",
        query_key_norm=config["model_type"] == "qwen3",
        max_positions=int(config.get("max_position_embeddings", 8192)),
    )
