import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_loop import fresh_adapter, load_tiny, shaken, tiny_shape
from torch import Tensor

from backstay.errors import IntegrityError, UsageError
from backstay.learn.models.adapters import (
    Adapter,
    adapter_tensors,
    full,
    load_adapter,
    lora,
    merged_weight,
    save_adapter,
)
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel

TOKENS = torch.tensor([[4, 9, 33, 21, 60, 5], [8, 8, 40, 2, 1, 70]])
REAL = torch.ones(2, 6, dtype=torch.bool)


def forward(decoder: Decoder, adapters: Adapters) -> Tensor:
    hidden = decoder.top(decoder.trunk(TOKENS, REAL, adapters=adapters), REAL, adapters)
    return decoder.logits(hidden, adapters)


def merged(decoder: Decoder, adapters: Adapters) -> Decoder:
    """A decoder with the adapters folded into its weights."""
    paths = {path for adapter in adapters for path in adapter.shapes}
    weights = dict(decoder.weights)
    for path in paths:
        weights[path + ".weight"] = merged_weight(path, weights[path + ".weight"], adapters)
    return Decoder(decoder.architecture, weights, decoder.branch_layer)


@pytest.mark.parametrize("branch_layer", [0, 1])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_fresh_adapter_changes_nothing(branch_layer: int, kind: str) -> None:
    model = load_tiny(torch.float64, branch_layer=branch_layer)
    adapter = fresh_adapter(model, tiny_shape(branch_layer=branch_layer, train=kind))
    assert adapter.kind == kind
    assert torch.equal(forward(model.decoder, (adapter,)), forward(model.decoder, ()))


@pytest.mark.parametrize("branch_layer", [0, 1])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_adapters_equal_weights_with_them_merged(branch_layer: int, kind: str) -> None:
    model = load_tiny(torch.float64, branch_layer=branch_layer)
    shape = tiny_shape(branch_layer=branch_layer, train=kind)
    sft = shaken(fresh_adapter(model, shape), seed=1)
    policy = shaken(fresh_adapter(model, shape, (sft,), seed=2), seed=2)
    stacked = forward(model.decoder, (sft, policy))
    assert (stacked - forward(merged(model.decoder, (sft, policy)), ())).abs().max() < 1e-10
    assert (stacked - forward(model.decoder.merged((sft, policy)), ())).abs().max() < 1e-10
    assert (stacked - forward(model.decoder.merged((sft,)), (policy,))).abs().max() < 1e-10
    assert (stacked - forward(model.decoder, (sft,))).abs().max() > 1e-3


def test_the_low_rank_update_by_hand(model64: LanguageModel) -> None:
    adapter = shaken(fresh_adapter(model64, tiny_shape(lora_rank=4, lora_alpha=32.0)))
    path = "model.layers.1.mlp.down_proj"
    factors = {key.rsplit("/")[-1]: value for key, value in adapter.factors.items() if "down_proj" in key}
    x = torch.randn(3, factors["A"].shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    delta = adapter.delta(path, x)
    assert delta is not None and adapter.scale == 8.0
    for row in range(3):
        by_hand = 8.0 * (factors["B"] @ (factors["A"] @ x[row]))
        assert (delta[row] - by_hand).abs().max() < 1e-12
    assert adapter.delta("model.layers.0.mlp.down_proj", x) is None  # below the branch


@pytest.mark.parametrize(("branch_layer", "trained"), [(0, True), (1, False)])
def test_full_training_owns_the_embedding_at_branch_0_only(branch_layer: int, trained: bool) -> None:
    model = load_tiny(branch_layer=branch_layer)
    adapter = fresh_adapter(model, tiny_shape(branch_layer=branch_layer, train="full"))
    assert ("model.embed_tokens" in adapter.shapes) is trained
    assert "model.norm" in adapter.shapes
    assert all(f"model.layers.{layer}." not in path for path in adapter.shapes for layer in range(branch_layer))


def test_a_full_policy_starts_from_the_full_reference() -> None:
    model = load_tiny(torch.float64)
    shape = tiny_shape(train="full")
    sft = shaken(fresh_adapter(model, shape), seed=1)
    policy = fresh_adapter(model, shape, (sft,), seed=2)
    assert torch.equal(forward(model.decoder, (sft, policy)), forward(model.decoder, (sft,)))


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_an_adapter_survives_the_disk(model: LanguageModel, tmp_path: Path, kind: str) -> None:
    adapter = shaken(fresh_adapter(model, tiny_shape(train=kind)))
    save_adapter(adapter, tmp_path, base="tiny", extra={"branch_layer": 1})
    read = load_adapter(tmp_path)
    assert (read.name, read.kind, read.rank, read.alpha) == (adapter.name, kind, adapter.rank, adapter.alpha)
    assert read.shapes == adapter.shapes
    first, second = adapter_tensors(adapter), adapter_tensors(read)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(forward(model.decoder, (adapter,)), forward(model.decoder, (read,)))
    assert not any(parameter.requires_grad for parameter in read.parameters())
    assert json.loads((tmp_path / "backstay.json").read_text())["branch_layer"] == 1
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_equal_seeds_give_equal_adapters(model: LanguageModel) -> None:
    same = [adapter_tensors(fresh_adapter(model, tiny_shape(), seed=seed)) for seed in (1, 1, 2)]
    starts = [torch.cat([tensor.flatten() for tensor in tensors.values()]) for tensors in same]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def saved(model: LanguageModel, folder: Path) -> Adapter:
    adapter = fresh_adapter(model, tiny_shape())
    save_adapter(adapter, folder, base="tiny")
    return adapter


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"adapter_config\.json"):
        load_adapter(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "IA3"},
        {"use_dora": True},
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 64}},
        {"rank_pattern": {"q_proj": 4}},
        {"r": "left out"},
    ],
)
def test_other_kinds_of_adapters_are_refused(model: LanguageModel, tmp_path: Path, change: dict[str, object]) -> None:
    saved(model, tmp_path)
    file = tmp_path / "adapter_config.json"
    config = json.loads(file.read_text()) | change
    if change.get("r"):
        del config["r"]
    file.write_text(json.dumps(config))
    with pytest.raises(IntegrityError, match="only plain LoRA"):
        load_adapter(tmp_path)


def test_missing_and_foreign_tensors_are_refused(model: LanguageModel, tmp_path: Path) -> None:
    saved(model, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if "lora_A" in name)
    save_file({key: value for key, value in tensors.items() if key != name}, file)
    with pytest.raises(IntegrityError, match="missing"):
        load_adapter(tmp_path)
    save_file(tensors | {"model.norm.weight": torch.ones(2)}, file)
    with pytest.raises(IntegrityError, match="unexpected tensor"):
        load_adapter(tmp_path)


def test_a_cut_adapter_file_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    saved(model, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=r"adapter_model\.safetensors"):
        load_adapter(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "null"])
def test_a_configuration_that_is_no_object_is_refused(model: LanguageModel, tmp_path: Path, text: str) -> None:
    saved(model, tmp_path)
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"adapter_config\.json"):
        load_adapter(tmp_path)


def test_language_models_are_frozen_values(model: LanguageModel) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.pad_id = 3  # type: ignore[misc]  # the point of the test


def at_layer(layer: str, name: str, tensor: Tensor) -> tuple[str, Tensor]:
    return name.replace("layers.1.", f"layers.{layer}."), tensor


def changed(folder: Path, change: Callable[[str, Tensor], tuple[str, Tensor]]) -> None:
    """Rewrite an adapter's tensors one by one."""
    file = folder / "adapter_model.safetensors"
    save_file(dict(change(name, tensor) for name, tensor in load_file(file).items()), file)


@pytest.mark.parametrize("train", ["lora", "full"])
def test_an_adapter_of_its_own_base_fits(model: LanguageModel, tmp_path: Path, train: str) -> None:
    save_adapter(fresh_adapter(model, tiny_shape(train=train)), tmp_path, base="tiny")
    assert load_adapter(tmp_path, base=model.decoder).kind == train


@pytest.mark.parametrize("train", ["lora", "full"])
def test_an_adapter_of_a_wider_base_is_refused(model: LanguageModel, tmp_path: Path, train: str) -> None:
    shapes = fresh_adapter(model, tiny_shape(train=train)).shapes
    wider = {path: tuple(2 * size for size in shape) for path, shape in shapes.items()}
    made = lora("wider", wider, rank=4, alpha=8.0, generator=torch.Generator()) if train == "lora" else None
    made = made or full("wider", {path: torch.zeros(shape) for path, shape in wider.items()})
    save_adapter(made, tmp_path, base="wider")
    with pytest.raises(IntegrityError, match=r"does not fit this base: .* is \(\d+.*\) there"):
        load_adapter(tmp_path, base=model.decoder)


def test_an_adapter_of_a_deeper_base_or_below_the_branch_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    """It would be ignored without a word: layers below the branch are frozen."""
    for name, layer in (("deeper", "7"), ("below", "0")):
        saved(model, tmp_path / name)
        changed(tmp_path / name, partial(at_layer, layer))
        with pytest.raises(IntegrityError, match=rf"layers\.{layer}\..* none that this base has above its branch"):
            load_adapter(tmp_path / name, base=model.decoder)
    assert load_adapter(tmp_path / "below", base=load_tiny(branch_layer=0).decoder).kind == "lora"


def test_a_rank_that_the_factors_do_not_have_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    """It would be run at another scale without a word."""
    saved(model, tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 4}))
    with pytest.raises(IntegrityError, match=r"factors of rank \[8\], but adapter_config\.json says r=4"):
        load_adapter(tmp_path)
