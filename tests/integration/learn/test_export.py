"""Merged models as transformers loads them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from foreign_models import write_foreign
from safetensors.torch import load_file
from tiny_loop import fresh_adapter, load_tiny, shaken, tiny_shape
from trained_runs import PPO, write_trained_runs

from backstay.cli.main import cli
from backstay.errors import IntegrityError, ResourceError, UsageError
from backstay.learn import ModelSettings
from backstay.learn import export as export_module
from backstay.learn.export import export_merged
from backstay.learn.models.adapters import Adapter, lora
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model

pytestmark = pytest.mark.integration
TOKENS = torch.tensor([[5, 9, 3, 20, 31, 8, 14, 6]])


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def ours(model: LanguageModel, adapters: tuple[Adapter, ...]) -> torch.Tensor:
    decoder, mask = model.decoder, torch.ones_like(TOKENS, dtype=torch.bool)
    with torch.no_grad():
        branch = decoder.trunk(TOKENS, mask, adapters=adapters)
        return decoder.logits(decoder.top(branch, mask, adapters), adapters)


def theirs(folder: Path) -> torch.Tensor:
    """Loaded with no precision named, as most people do."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        logits: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder)(TOKENS).logits
    return logits


def stack(model: LanguageModel, shape: ModelSettings) -> tuple[Adapter, ...]:
    sft = shaken(fresh_adapter(model, shape, seed=1), seed=1).requires_grad_(False)
    return sft, shaken(fresh_adapter(model, shape, (sft,), seed=2), seed=2).requires_grad_(False)


@pytest.mark.parametrize("branch_layer", [0, 1])
@pytest.mark.parametrize("train", ["lora", "full"])
def test_transformers_computes_the_logits_of_the_adapted_model(tmp_path: Path, branch_layer: int, train: Any) -> None:
    shape = tiny_shape(branch_layer=branch_layer, train=train)
    model = load_model(shape)
    adapters = stack(model, shape)
    export_merged(model, adapters, tmp_path / "m", model_card="# card\n")
    assert torch.allclose(theirs(tmp_path / "m"), ours(model, adapters), atol=1e-4)
    assert not torch.allclose(theirs(tmp_path / "m"), ours(model, ()), atol=0.1)


def test_the_exported_folder_is_a_base_model_again(tmp_path: Path) -> None:
    model = load_tiny()
    adapters = stack(model, tiny_shape())
    export_merged(model, adapters, tmp_path / "m", model_card="# card\n")
    again = load_model(tiny_shape(source=str(tmp_path / "m")))
    assert torch.allclose(ours(again, ()), ours(model, adapters), atol=1e-4)
    text = "<|im_start|>user how is the dog ?<|im_end|>"
    assert again.encode(text) == model.encode(text) and again.stop_ids == model.stop_ids


def test_the_folder_holds_float32_weights_a_card_and_readable_files(tmp_path: Path) -> None:
    model = load_tiny()
    export_merged(model, stack(model, tiny_shape()), tmp_path / "m", model_card="# card é\n")
    files = {path.name for path in (tmp_path / "m").iterdir()}
    assert files == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert json.loads((tmp_path / "m" / "config.json").read_text())["dtype"] == "float32"
    assert all(tensor.dtype == torch.float32 for tensor in load_file(tmp_path / "m" / "model.safetensors").values())
    assert (tmp_path / "m" / "README.md").read_text(encoding="utf-8") == "# card é\n"
    assert len({path.stat().st_mode for path in (tmp_path / "m").iterdir()}) == 1


def test_a_base_in_half_precision_is_exported_in_full(tmp_path: Path) -> None:
    source = write_foreign("llama", tmp_path / "base", tmp_path / "tiny", rope_scaling=None)
    config = json.loads((source / "config.json").read_text()) | {"dtype": "bfloat16"}
    (source / "config.json").write_text(json.dumps(config))
    shape = tiny_shape(source=str(source))
    model = load_model(shape)
    adapters = stack(model, shape)
    export_merged(model, adapters, tmp_path / "m", model_card="")
    assert torch.allclose(theirs(tmp_path / "m"), ours(model, adapters), atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "gemma3_text"])
def test_other_architectures_are_exported_too(tmp_path: Path, kind: str) -> None:
    shape = tiny_shape(source=str(write_foreign(kind, tmp_path / "base", tmp_path / "tiny")))
    model = load_model(shape)
    adapters = stack(model, shape)
    export_merged(model, adapters, tmp_path / "m", model_card="# card\n")
    assert torch.allclose(theirs(tmp_path / "m"), ours(model, adapters), atol=1e-4)
    assert (tmp_path / "m" / "tokenizer.json").exists() and (tmp_path / "m" / "README.md").exists()


def test_what_exists_is_never_replaced(tmp_path: Path) -> None:
    model = load_tiny()
    (tmp_path / "m").mkdir()
    with pytest.raises(UsageError, match="exists"):
        export_merged(model, (), tmp_path / "m", model_card="")


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    other = lora("x", {"model.layers.9.mlp.up_proj": (4, 4)}, rank=1, alpha=1.0, generator=torch.Generator())
    with pytest.raises(IntegrityError, match=r"model\.layers\.9\.mlp\.up_proj, which this base lacks"):
        export_merged(load_tiny(), (other,), tmp_path / "m", model_card="")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(export_module, "save_file", full_disk)
    with pytest.raises(ResourceError, match="no space left"):
        export_merged(load_tiny(), (), tmp_path / "deep" / "m", model_card="")
    assert not list(tmp_path.rglob("*m*"))


def test_the_command_writes_the_policy_of_a_run(tmp_path: Path) -> None:
    project = write_trained_runs(tmp_path / "p", load_tiny())
    done = CliRunner().invoke(
        cli, ["export", "merged", str(tmp_path / "m"), "--project", str(project.root), "--json"], catch_exceptions=False
    )
    assert json.loads(done.output) == {"path": str(tmp_path / "m"), "run": PPO, "base": "tiny"}
    card = (tmp_path / "m" / "README.md").read_text()
    assert "| stage | ppo |" in card and "| adapters | sft, policy |" in card
    assert f"| ppo | {PPO}, outputs sha256 " in card and "The policy was not measured" in card
