"""Model folders from strangers: nothing is executed or unpickled, and every refusal says what was wrong."""

import importlib.metadata
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_loop import load_tiny, tiny_shape
from tokenizers import Tokenizer

from backstay.errors import BackstayError, IntegrityError, UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import (
    DEFAULT_MODEL,
    GGUF_SHA256,
    cache_folder,
    load_model,
    load_reader,
    model_digest,
    model_folder,
    use_deterministic_kernels,
)
from backstay.learn.models.tiny import write_tiny
from backstay.learn.settings import ModelSettings
from backstay.records import file_sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder("tiny"), tmp_path / "model"))


def shape_of(folder: Path) -> ModelSettings:
    return tiny_shape(source=str(folder))


def edit_json(file: Path, change: dict[str, object], *, drop: tuple[str, ...] = ()) -> None:
    kept = {key: value for key, value in json.loads(file.read_text()).items() if key not in drop}
    file.write_text(json.dumps(kept | change))


def test_the_tiny_model_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    first, second, other = (write_tiny(tmp_path / str(i), seed=i // 2) for i in range(3))
    hashes = [{file.name: file_sha256(file) for file in made.iterdir()} for made in (first, second, other)]
    assert hashes[0] == hashes[1]
    assert {name for name in hashes[0] if hashes[0][name] != hashes[2][name]} == {"model.safetensors"}


def test_a_copied_folder_is_the_same_model(folder: Path) -> None:
    ours, copied = load_tiny(), load_model(shape_of(folder))
    assert copied.digest == ours.digest
    assert copied.stop_ids == ours.stop_ids == (2,)
    assert all(torch.equal(tensor, copied.decoder.weights[name]) for name, tensor in ours.decoder.weights.items())
    assert not any(tensor.requires_grad for tensor in copied.decoder.weights.values())


def test_the_digest_follows_weights_and_tokenizer(folder: Path) -> None:
    before = model_digest(str(folder))
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] += 1e-3
    save_file(weights, folder / "model.safetensors")
    changed = model_digest(str(folder))
    edit_json(folder / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
    assert len({before, changed, model_digest(str(folder))}) == 3


def test_several_weight_files_are_read_as_one(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    save_file({name: weights[name] for name in names[:5]}, folder / "model-1.safetensors")
    save_file({name: weights[name] for name in names[5:]}, folder / "model-2.safetensors")
    (folder / "model.safetensors").unlink()
    loaded = load_model(shape_of(folder)).decoder.weights
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in names)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.trace,)


@pytest.mark.hostile
def test_pickled_weights_are_never_read(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(trace)))
    load_model(shape_of(folder))  # beside safetensors they are ignored
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="pickled weights are never read"):
        load_model(shape_of(folder))
    assert not trace.exists()


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_with_a_file_missing_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UsageError, match=name):
        load_model(shape_of(folder))


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_does_not_parse_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text('{"cut": ')
    with pytest.raises(BackstayError, match=name):
        load_model(shape_of(folder))


@pytest.mark.hostile
@pytest.mark.parametrize("size", ["num_attention_heads", "hidden_size", "vocab_size", "num_hidden_layers"])
def test_a_configuration_without_sizes_is_refused(folder: Path, size: str) -> None:
    edit_json(folder / "config.json", {}, drop=(size,))
    with pytest.raises(UsageError, match=size):
        load_model(shape_of(folder))


@pytest.mark.hostile
def test_cut_weights_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        load_model(shape_of(folder))


@pytest.mark.hostile
def test_a_header_that_claims_too_much_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        load_model(shape_of(folder))


@pytest.mark.hostile
def test_weights_without_an_embedding_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.embed_tokens.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(IntegrityError, match="embed_tokens"):
        load_model(shape_of(folder))


@pytest.mark.hostile
def test_a_model_that_cannot_stop_is_refused(folder: Path) -> None:
    edit_json(folder / "config.json", {}, drop=("eos_token_id",))
    edit_json(folder / "tokenizer_config.json", {}, drop=("eos_token",))
    with pytest.raises(UsageError, match="end-of-sequence"):
        load_model(shape_of(folder))


def test_stop_tokens_come_from_every_file_that_names_one(folder: Path) -> None:
    edit_json(folder / "config.json", {"eos_token_id": [2, 7]})
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 2]}))
    assert load_model(shape_of(folder)).stop_ids == (2, 7, 9)


@pytest.mark.parametrize("branch_layer", [2, 9])
def test_a_branch_above_every_layer_is_refused(branch_layer: int) -> None:
    with pytest.raises(UsageError, match=f"branch_layer is {branch_layer}, but the model has 2 layers"):
        load_tiny(branch_layer=branch_layer)


@pytest.mark.parametrize(("named", "used"), [(0, 0), (3, 3), (-1, 0), (None, 0)])
def test_a_pad_token_is_always_a_token(folder: Path, named: int | None, used: int) -> None:
    edit_json(folder / "config.json", {"pad_token_id": named})
    assert load_model(shape_of(folder)).pad_id == used


def test_a_pad_token_that_was_never_added_is_not_used(folder: Path) -> None:
    edit_json(folder / "config.json", {"pad_token_id": 10_000})
    assert load_model(shape_of(folder)).pad_id == 0


@pytest.mark.hostile
@pytest.mark.parametrize("load", [load_model, load_reader])
def test_a_tokenizer_with_more_tokens_than_the_embedding_is_refused(
    folder: Path, load: Callable[[ModelSettings], LanguageModel]
) -> None:
    rows = load(shape_of(folder)).decoder.architecture.vocab_size
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["supererogatory"])
    tokenizer.save(str(folder / "tokenizer.json"))
    message = f"token 'supererogatory' of tokenizer.json has id {rows}, but the model's vocabulary has {rows} entries"
    with pytest.raises(UsageError, match=message):
        load(shape_of(folder))


@pytest.mark.hostile
def test_an_embedding_of_another_size_than_the_configuration_says_is_refused(folder: Path) -> None:
    edit_json(folder / "config.json", {"vocab_size": 10_000})
    with pytest.raises(IntegrityError, match=r"the embedding has \d+ rows, but config\.json says vocab_size 10000"):
        load_model(shape_of(folder))


@pytest.mark.parametrize("source", ["no-such-model", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_an_unknown_source_is_named(source: str) -> None:
    with pytest.raises(UsageError, match=source.lstrip("./")):
        model_folder(source)


class FakeDistribution(SimpleNamespace):
    file: Path

    def locate_file(self, _name: str) -> Path:
        return self.file


@pytest.mark.hostile
def test_a_packaged_model_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "empty"))
    forged = tmp_path / "forged.gguf"
    forged.write_bytes(b"GGUF but another one")
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: FakeDistribution(file=forged))
    with pytest.raises(IntegrityError, match=GGUF_SHA256) as refused:
        model_folder(DEFAULT_MODEL)
    assert file_sha256(forged) in str(refused.value)
    assert not cache_folder().exists()


def test_a_missing_package_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "empty"))

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UsageError, match="pip install"):
        model_folder(DEFAULT_MODEL)


def test_deterministic_kernels_keep_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    before = torch.are_deterministic_algorithms_enabled()
    try:
        use_deterministic_kernels()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    finally:
        torch.use_deterministic_algorithms(before)
