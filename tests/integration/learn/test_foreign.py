"""Other architectures against transformers' own forward pass, and through the whole training loop."""

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_models import SIZES, write_foreign

from backstay.errors import IntegrityError, UsageError
from backstay.learn.branch_states import BranchStates
from backstay.learn.decoding import sample
from backstay.learn.lessons import Comparison
from backstay.learn.models.adapters import Adapter, full, lora, save_adapter
from backstay.learn.models.foreign import foreign_decoder
from backstay.learn.models.load import load_model
from backstay.learn.models.transformers_decoder import ForeignDecoder
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.reward import score_rows, train_ensemble
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.rl import PolicyTrainer
from backstay.learn.scalar_models import load_member, new_member, normalise, save_member
from backstay.learn.settings import ModelSettings, SftSettings
from backstay.learn.sft import Lesson, train_sft
from backstay.storage import RunFolder

pytestmark = pytest.mark.integration
LOOP = ("gpt2", "gemma3_text", "phi3", "llama")
TOKENS = torch.tensor([[5, 9, 3, 20, 31, 8, 14, 6]])

Write = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("foreign")
    return {kind: write_foreign(kind, root / kind, root / "tiny") for kind in SIZES}


@pytest.fixture(params=SIZES)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


@pytest.fixture
def decoder(folder: Path) -> ForeignDecoder:
    return foreign_decoder(folder, 20)


def own_logits(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    """What transformers computes when nothing of ours takes part."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        logits: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(tokens).logits
    return logits


def run(decoder: ForeignDecoder, tokens: torch.Tensor, adapters: tuple[Adapter, ...] = ()) -> torch.Tensor:
    mask = torch.ones_like(tokens, dtype=torch.bool)
    return decoder.logits(decoder.top(decoder.trunk(tokens, mask, adapters=adapters), mask, adapters), adapters)


def trained_lora(decoder: ForeignDecoder) -> Adapter:
    """A LoRA adapter whose B is not zero."""
    generator = torch.Generator().manual_seed(3)
    adapter = lora("test", decoder.lora_shapes(), rank=2, alpha=4.0, generator=generator)
    for name, factor in adapter.factors.items():
        if name.endswith("/B"):
            torch.nn.init.normal_(factor, std=0.3, generator=generator)
    return adapter.requires_grad_(False)


def test_logits_equal_those_of_transformers(folder: Path, decoder: ForeignDecoder) -> None:
    assert torch.allclose(run(decoder, TOKENS), own_logits(folder, TOKENS), atol=1e-5)


def test_left_padding_changes_nothing(decoder: ForeignDecoder) -> None:
    padded = torch.cat((torch.zeros(1, 5, dtype=torch.long), TOKENS), 1)
    mask = torch.arange(13)[None] >= 5
    hidden = decoder.top(decoder.trunk(padded, mask), mask)
    assert torch.allclose(decoder.logits(hidden[:, 5:]), run(decoder, TOKENS), atol=1e-5)
    assert hidden.isfinite().all()


def test_cached_decoding_of_a_ragged_batch_equals_running_each_row_alone(decoder: ForeignDecoder) -> None:
    adapter = trained_lora(decoder)
    prompts, steps = ([7, 3, 11, 9, 4], [8, 5]), 6
    rows = torch.cat([torch.tensor([[0] * (5 - len(p)) + p]) for p in prompts])
    new = torch.randint(1, 90, (2, steps), generator=torch.Generator().manual_seed(0))
    whole = torch.cat((rows, new), 1)
    mask = torch.arange(5 + steps)[None] >= torch.tensor([[0], [3]])
    cache, got = decoder.new_cache(5 + steps), []
    for first, last in [(0, 5), *((i, i + 1) for i in range(5, 5 + steps))]:
        branch = decoder.trunk(whole[:, first:last], mask[:, :last], cache, (adapter,))
        got.append(decoder.top(branch, mask[:, :last], (adapter,), cache))
        cache.advance(last - first)
    for row, prompt in enumerate(prompts):
        alone = run(decoder, torch.tensor([prompt + new[row].tolist()]), (adapter,))
        cached = decoder.logits(torch.cat(got, 1)[row, 5 - len(prompt) :], (adapter,))
        assert torch.allclose(cached, alone[0], atol=1e-5)
    assert cache.length == 5 + steps


def test_lora_equals_a_model_with_merged_weights(decoder: ForeignDecoder, tmp_path: Path) -> None:
    adapter = trained_lora(decoder)
    decoder.save_merged((adapter,), tmp_path)
    adapted = run(decoder, TOKENS, (adapter,))
    assert torch.allclose(adapted, own_logits(tmp_path, TOKENS), atol=1e-4)
    assert (adapted - run(decoder, TOKENS)).abs().max() > 0.01


def test_full_weights_equal_a_model_that_was_saved_with_them(decoder: ForeignDecoder, tmp_path: Path) -> None:
    changed = {path: tensor + 0.05 * torch.sin(tensor * 40) for path, tensor in decoder.trainable_weights().items()}
    adapter = full("policy", changed).requires_grad_(False)
    assert not torch.allclose(run(decoder, TOKENS, (adapter,)), run(decoder, TOKENS), atol=0.01)
    decoder.save_merged((adapter,), tmp_path)
    assert torch.allclose(run(decoder, TOKENS, (adapter,)), own_logits(tmp_path, TOKENS), atol=1e-4)


def test_adapters_of_one_call_are_gone_in_the_next_even_after_an_error(folders: dict[str, Path]) -> None:
    decoder = foreign_decoder(folders["gpt2"], 0)
    base, adapter = run(decoder, TOKENS), trained_lora(decoder)
    mask = torch.ones_like(TOKENS, dtype=torch.bool)
    with pytest.raises(RuntimeError):
        decoder.top(torch.zeros(1, 8, 7), mask, (adapter,))
    assert torch.equal(run(decoder, TOKENS), base)
    stacked = run(decoder, TOKENS, (adapter, adapter))
    assert not torch.allclose(stacked, run(decoder, TOKENS, (adapter,)), atol=0.01)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_merged_decoder_wears_its_adapters_always(folders: dict[str, Path], kind: str) -> None:
    decoder = foreign_decoder(folders["gpt2"], 0)
    changed = {path: tensor * 1.1 for path, tensor in decoder.trainable_weights().items()}
    reference = trained_lora(decoder) if kind == "lora" else full("f", changed).requires_grad_(False)
    merged, policy = decoder.merged((reference,)), trained_lora(decoder)
    assert torch.equal(run(merged, TOKENS), run(decoder, TOKENS, (reference,)))
    assert torch.equal(run(merged, TOKENS, (policy,)), run(decoder, TOKENS, (reference, policy)))
    assert not torch.allclose(run(decoder, TOKENS), run(merged, TOKENS), atol=0.01)
    assert torch.equal(run(merged.merged((policy,)), TOKENS), run(merged, TOKENS, (policy,)))
    again = full("again", merged.trainable_weights())
    assert torch.allclose(run(merged, TOKENS, (again,)), run(merged, TOKENS), atol=1e-5)


def test_gradients_reach_adapters_and_never_the_base(folders: dict[str, Path]) -> None:
    decoder = foreign_decoder(folders["gpt2"], 0)
    low = lora("l", decoder.lora_shapes(), rank=2, alpha=2.0, generator=torch.Generator().manual_seed(0))
    whole = full("f", decoder.trainable_weights())
    for adapter in (low, whole):
        run(decoder, TOKENS, (adapter,)).square().mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert all(p.grad is not None for p in low.parameters())
    unused = {name for name, p in whole.named_parameters() if p.grad is None}
    assert not unused
    assert all(p.grad is None and not p.requires_grad for p in decoder.causal.parameters())


def test_first_layers_equal_hidden_states_of_transformers(folder: Path, decoder: ForeignDecoder) -> None:
    mask = torch.ones_like(TOKENS, dtype=torch.bool)
    embedded = decoder.trunk(TOKENS, mask)
    with torch.no_grad():
        states = decoder.causal(TOKENS, output_hidden_states=True).hidden_states
    first = decoder.layers(embedded, mask, 0, 1)
    assert torch.allclose(first, states[1], atol=1e-5)
    # The last entry of hidden_states is after the final norm; ours is before it.
    last = decoder.layers(embedded, mask, 0, decoder.architecture.n_layers)
    assert torch.allclose(decoder.causal.base_model.get_submodule(_norm_name(decoder))(last), states[-1], atol=1e-5)


def _norm_name(decoder: ForeignDecoder) -> str:
    return "ln_f" if decoder.architecture.model_type == "gpt2" else "norm"


def test_reward_members_run_only_their_layers_and_come_back_from_disk(folder: Path, tmp_path: Path) -> None:
    model = load_model(ModelSettings(source=str(folder), threads=1))
    member = new_member(model.decoder, layers=1, rank=2, generator=torch.Generator().manual_seed(1))
    assert member.adapter is not None and all(".0." in path for path in member.adapter.shapes)
    for name, factor in member.adapter.factors.items():
        torch.nn.init.normal_(factor, std=0.3 if name.endswith("/B") else 0.2)
    rows = BranchStates(model, [[5, 6, 7], [8, 9]], [[10, 11], [12, 13, 2]], [0, 1])
    before = score_rows(rows, [member], [0, 1])
    save_member(member, tmp_path, base="x")
    assert torch.equal(score_rows(rows, [load_member(model.decoder, tmp_path)], [0, 1]), before)


def test_no_layers_of_a_member_mean_all_of_them(folders: dict[str, Path]) -> None:
    decoder = foreign_decoder(folders["gpt2"], 0)
    member = new_member(decoder, layers=0, rank=2, generator=torch.Generator())
    assert member.layers == 3 and member.adapter is not None and len(member.adapter.shapes) == 12


@pytest.mark.parametrize("layers", [(0, 0), (1, 2)])
def test_a_span_that_does_not_start_at_the_embeddings_is_refused(folders: dict[str, Path], layers: Any) -> None:
    decoder = foreign_decoder(folders["phi3"], 0)
    mask = torch.ones_like(TOKENS, dtype=torch.bool)
    with pytest.raises(UsageError, match=r"set reward.layers between 1 and 3"):
        decoder.layers(decoder.trunk(TOKENS, mask), mask, *layers)


def test_the_notice_tells_what_the_settings_cannot_do_here(folders: dict[str, Path]) -> None:
    notice = foreign_decoder(folders["mixtral"], 20).notice
    assert "branch at layer 0 (model.branch_layer=20 does not apply)" in notice
    assert "8 linear layers in all 2 layers (18% of the weights outside the embeddings)" in notice
    assert "reward.layers counts from the embeddings, and 0 stands for all 2 layers" in notice
    assert "does not apply" not in foreign_decoder(folders["mixtral"], 0).notice


def test_float64_runs_through(folders: dict[str, Path]) -> None:
    decoder = foreign_decoder(folders["gpt2"], 0).to(torch.float64)
    assert run(decoder, TOKENS).dtype == torch.float64
    assert decoder.embedding.dtype == decoder.weights["transformer.wte.weight"].dtype == torch.float64


def test_peft_reads_what_we_save_for_gpt2_and_computes_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    decoder = foreign_decoder(folders["gpt2"], 0)
    adapter = trained_lora(decoder)
    save_adapter(adapter, tmp_path, base=str(folders["gpt2"]))
    base = AutoModelForCausalLM.from_pretrained(folders["gpt2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT says that it corrects fan_in_fan_out and ignores our own key.
        theirs = peft.PeftModel.from_pretrained(base, tmp_path)
    with torch.no_grad():
        assert torch.allclose(run(decoder, TOKENS, (adapter,)), theirs(TOKENS).logits, atol=1e-4)


def changed_config(folder: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "nonesuch", "auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "never run"),
        ({"model_type": "bert-of-mine"}, "does not know"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ({"transformers_weights": "pickled.bin"}, "transformers_weights"),
        ({"is_encoder_decoder": True}, "encoder-decoder"),
        ({"vision_config": {"hidden_size": 8}}, "vision_config"),
        ({"n_head": 5}, "transformers cannot load"),
    ],
)
def test_configurations_that_cannot_work_are_refused(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        foreign_decoder(changed_config(folders["gpt2"], tmp_path / "m", **changes), 0)


def test_code_of_a_known_architecture_is_left_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(folders["gpt2"], tmp_path / "m", auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('executed')\n")
    assert torch.allclose(run(foreign_decoder(folder, 0), TOKENS), own_logits(folders["gpt2"], TOKENS), atol=1e-5)


def test_an_adapter_beside_the_weights_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(folders["gpt2"], tmp_path / "m")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere/model"}')
    with pytest.raises(UsageError, match="adapter beside the model"):
        foreign_decoder(folder, 0)


def test_missing_and_torn_weights_are_an_integrity_error(folders: dict[str, Path], tmp_path: Path) -> None:
    larger = changed_config(folders["gpt2"], tmp_path / "larger", n_layer=4)
    with pytest.raises(IntegrityError, match="lacks 12 weights"):
        foreign_decoder(larger, 0)
    torn = changed_config(folders["gpt2"], tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:2000])
    with pytest.raises(IntegrityError, match="do not load"):
        foreign_decoder(torn, 0)


def test_an_architecture_whose_state_padding_disturbs_is_refused(tmp_path: Path) -> None:
    folder = write_foreign("mamba", tmp_path / "m", tmp_path / "tiny")
    with pytest.raises(UsageError, match="mamba"):
        foreign_decoder(folder, 0)


@pytest.mark.parametrize(("kind", "train"), [*((kind, "lora") for kind in LOOP), ("gpt2", "full")])
def test_the_loop_runs(folders: dict[str, Path], tmp_path: Path, kind: str, train: Any) -> None:
    shape = ModelSettings(source=str(folders[kind]), train=train, threads=1, system="", lora_rank=4)
    model = load_model(shape)
    generator, choose = torch.Generator().manual_seed(0), random.Random(0)
    prompts = [model.encode(f"how is the {word} ?") for word in ("sun", "dog", "tea", "city")]
    good, bad = (model.response_tokens(f"the {word} .", finished=True, limit=9) for word in ("lovely", "awful"))
    lessons = [Lesson(tuple(choose.choice(prompts)), tuple(choose.choice((good, bad)))) for _ in range(32)]
    sft = train_sft(
        model, lessons, shape, SftSettings(epochs=12, batch_size=16, learning_rate=1e-2), RunFolder(tmp_path / "s")
    )
    losses = [json.loads(line)["loss"] for line in (tmp_path / "s" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.6 * losses[0]
    sft.requires_grad_(False)
    rows = BranchStates(model, prompts, [good, bad] * 4, [i // 2 for i in range(8)])
    comparisons = [Comparison(2 * i, 2 * i + 1, 1.0, 1.0) for i in range(4)] * 4
    settings = RewardSettings(members=2, layers=2, epochs=6, batch_size=8, learning_rate=3e-3, lora_rank=2)
    members = train_ensemble(rows, comparisons, settings, RunFolder(tmp_path / "r"))
    scores = score_rows(rows, members, range(8))
    assert (scores[:, ::2] > scores[:, 1::2]).all()
    normalise(members, scores)
    ppo = PpoSettings(
        updates=2, episodes=8, micro_batch=4, max_new_tokens=5, learning_rate=1e-3, kl_stop=0, kl_budget=0
    )
    ppo = ppo.model_copy(update={"kl_target": 0.0})
    trainer = PolicyTrainer(
        model, prompts, reference=(sft,), members=members, shape=shape, settings=ppo, folder=RunFolder(tmp_path / "p")
    )
    assert trainer.run().reason == "completed"
    rounds = [json.loads(line) for line in (tmp_path / "p" / "metrics.jsonl").read_text().splitlines()]
    # The sampler's log-probabilities (cached, padded) and the learner's (whole) are the same numbers.
    assert all(abs(r["ratio_first"] - 1) < 1e-4 for r in rounds[:2])
    assert abs(rounds[0]["kl_nats"]) < 1e-4 and abs(rounds[2]["kl_nats"]) > 1e-6
    told = sample(model, prompts, adapters=(sft,), max_new_tokens=4, temperature=1.0, generator=generator)
    # Exactly those that gave no stop token within it have the whole length, the stop token being the response's last.
    stopped = [tokens[-1] in model.stop_ids for tokens in told.responses()]
    assert told.finished_B.tolist() == stopped
    assert all(done or len(tokens) == 4 for done, tokens in zip(stopped, told.responses(), strict=True))
    assert all(1 <= len(tokens) <= 4 for tokens in told.responses())
