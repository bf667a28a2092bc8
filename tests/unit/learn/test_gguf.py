import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file
from tiny_loop import tiny_shape
from tokenizers.pre_tokenizers import ByteLevel

from backstay.errors import UsageError
from backstay.learn.models.gguf import convert_gguf
from backstay.learn.models.load import load_model

HIDDEN, HEADS, KV_HEADS, FFN, LAYERS = 32, 4, 2, 64, 2
HEAD_DIM = HIDDEN // HEADS
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LETTERS = sorted(ByteLevel.alphabet())
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he")]
TOKENS = [*CONTROL, *LETTERS, *(a + b for a, b in MERGES)]
KINDS = [3] * 3 + [1] * (len(TOKENS) - 3)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def matrix(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def hugging_face_weights() -> dict[str, np.ndarray]:
    made = {"model.embed_tokens.weight": matrix(len(TOKENS), HIDDEN, 1), "model.norm.weight": matrix(1, HIDDEN, 2)[0]}
    for layer in range(LAYERS):
        path, seed, kv = f"model.layers.{layer}.", 100 * layer + 10, KV_HEADS * HEAD_DIM
        sizes = {"q": (HIDDEN, HIDDEN), "k": (kv, HIDDEN), "v": (kv, HIDDEN), "o": (HIDDEN, HIDDEN)}
        for name, (rows, columns) in sizes.items():
            made[f"{path}self_attn.{name}_proj.weight"] = matrix(rows, columns, seed := seed + 1)
        for name, (rows, columns) in {"gate": (FFN, HIDDEN), "up": (FFN, HIDDEN), "down": (HIDDEN, FFN)}.items():
            made[f"{path}mlp.{name}_proj.weight"] = matrix(rows, columns, seed := seed + 1)
        for name in ("input_layernorm", "post_attention_layernorm"):
            made[f"{path}{name}.weight"] = matrix(1, HIDDEN, seed := seed + 1)[0]
    return made


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """GGUF's rotary layout: rows i and i + half of a head stand beside each other."""
    out, size = np.empty_like(weight), len(weight) // heads
    for head in range(heads):
        for i in range(size // 2):
            out[head * size + 2 * i] = weight[head * size + i]
            out[head * size + 2 * i + 1] = weight[head * size + size // 2 + i]
    return out


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
    _, _, layer, middle = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[middle]}.weight"


def write_gguf(file: Path, *, architecture: str = "llama", pre: str = "smollm") -> dict[str, np.ndarray]:
    writer = GGUFWriter(file, architecture)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_context_length(128)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types(KINDS)
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    weights = hugging_face_weights()
    for name, weight in weights.items():
        _add(writer, name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def _add(writer: Any, name: str, weight: np.ndarray) -> None:
    if "q_proj" in name or "k_proj" in name:
        weight = interleaved(weight, HEADS if "q_proj" in name else KV_HEADS)
    if "down_proj" in name:
        packed = quantize(weight, GGMLQuantizationType.Q8_0)
        writer.add_tensor(gguf_name(name), packed, raw_dtype=GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(gguf_name(name), weight)


def test_weights_come_back_in_hugging_face_order(tmp_path: Path) -> None:
    weights = write_gguf(tmp_path / "model.gguf")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "model")
    found = load_file(tmp_path / "model" / "model.safetensors")
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        if "down_proj" in name:
            eight_bit = quantize(weight, GGMLQuantizationType.Q8_0)
            assert np.array_equal(found[name].numpy(), dequantize(eight_bit, GGMLQuantizationType.Q8_0))
            assert float(np.abs(found[name].numpy() - weight).max()) < 0.02
        else:
            assert np.array_equal(found[name].numpy(), weight)


def test_a_converted_model_loads_and_speaks(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "model")
    model = load_model(tiny_shape(source=str(tmp_path / "model")))
    architecture = model.decoder.architecture
    assert (architecture.n_layers, architecture.n_heads, architecture.n_kv_heads) == (LAYERS, HEADS, KV_HEADS)
    assert architecture.tie_embeddings and architecture.norm_eps == 1e-5
    assert model.stop_ids == (2,) and model.pad_id == 0
    text = "<|im_start|>user\nthe 42 thés<|im_end|>"
    tokens = model.encode(text)
    assert model.tokenizer.decode(tokens, skip_special_tokens=False) == text
    assert (tokens[0], tokens[-1]) == (1, 2)
    words = [TOKENS[token] for token in model.encode("at the 12")]
    assert words == ["a", "t", "Ġthe", "Ġ", "1", "2"]  # merges apply, digits stand alone
    hidden = model.decoder.top(
        model.decoder.trunk(torch.tensor([tokens]), torch.ones(1, len(tokens)).bool()),
        torch.ones(1, len(tokens)).bool(),
    )
    assert hidden.isfinite().all()


def test_random_text_survives_the_tokenizer(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "model")
    model = load_model(tiny_shape(source=str(tmp_path / "model")))
    draw = random.Random(0)
    for _ in range(50):
        text = "".join(
            chr(draw.choice((draw.randrange(32, 127), draw.randrange(0xA1, 0x2FF), 0x1F600))) for _ in range(30)
        )
        assert model.tokenizer.decode(model.encode(text), skip_special_tokens=False) == text


@pytest.mark.parametrize(("architecture", "pre"), [("gpt2", "smollm"), ("llama", "llama-bpe")])
def test_other_kinds_of_gguf_are_refused(tmp_path: Path, architecture: str, pre: str) -> None:
    write_gguf(tmp_path / "model.gguf", architecture=architecture, pre=pre)
    with pytest.raises(UsageError, match=pre):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_template_is_kept(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "model")
    assert json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())["chat_template"] == TEMPLATE
