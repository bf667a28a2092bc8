"""Our decoder and our adapters against the libraries that define them, on random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_adapter, load_tiny, shaken, tiny_shape
from torch import Tensor

from backstay.learn.models.adapters import save_adapter
from backstay.learn.models.architecture import parse_architecture, supports
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.load import model_folder

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "attn_implementation": "eager",
}
FAMILY: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"rms_norm_eps": 1e-4}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True, "rope_theta": 500.0}),
    "llama-wide-heads": ("Llama", {"head_dim": 12}),
    "llama-one-group": ("Llama", {"num_key_value_heads": 4}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
}


def oracle(name: str) -> Any:
    kind, change = FAMILY[name]
    config = getattr(transformers, f"{kind}Config")(**(SIZES | change))
    torch.manual_seed(0)
    made = getattr(transformers, f"{kind}ForCausalLM")(config).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():  # biases and norms too, which start at 0 and 1
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def padded_input() -> tuple[Tensor, Tensor]:
    tokens = torch.randint(0, 50, (3, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(11)[None] >= torch.tensor([0, 4, 7])[:, None]
    return tokens, mask


@torch.no_grad()
def logits(decoder: Decoder, adapters: Adapters) -> Tensor:
    """Logits of the first row, which has no padding."""
    tokens, mask = (x[:1] for x in padded_input())
    return decoder.logits(decoder.top(decoder.trunk(tokens, mask, adapters=adapters), mask, adapters), adapters)


@pytest.mark.parametrize("name", FAMILY)
def test_logits_equal_those_of_transformers(name: str) -> None:
    theirs = oracle(name)
    config = json.loads(theirs.config.to_json_string())
    assert supports(config)
    weights = {key: value for key, value in theirs.state_dict().items() if not key.endswith("inv_freq")}
    ours = Decoder(parse_architecture(config), weights, branch_layer=1)
    tokens, mask = padded_input()
    found = ours.logits(ours.top(ours.trunk(tokens, mask), mask))
    for row in range(len(tokens)):
        with torch.no_grad():
            wanted = theirs(input_ids=tokens[row][mask[row]][None]).logits[0]
        # transformers rounds the rotary angles to float32 even in a float64 model
        assert (found[row][mask[row]] - wanted).abs().max() < 1e-5
        assert wanted.std() > 0.1


def test_a_folder_of_the_tiny_model_means_the_same_to_transformers() -> None:
    model = load_tiny()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model_folder("tiny"), dtype=torch.float32)
    with torch.no_grad():
        wanted = theirs(input_ids=padded_input()[0][:1]).logits
    assert (logits(model.decoder, ()) - wanted).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore::FutureWarning")  # their own names
def test_peft_reads_our_adapter_and_gives_our_logits(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = load_tiny()
    adapter = shaken(fresh_adapter(model, tiny_shape(lora_alpha=24.0)))
    save_adapter(adapter, tmp_path, base=str(model_folder("tiny")))
    base = transformers.AutoModelForCausalLM.from_pretrained(model_folder("tiny"), dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path)
    with torch.no_grad():
        wanted = theirs(input_ids=padded_input()[0][:1]).logits
    assert (logits(model.decoder, (adapter,)) - wanted).abs().max() < 1e-5
    assert (logits(model.decoder, ()) - wanted).abs().max() > 1e-3
