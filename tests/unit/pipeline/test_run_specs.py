import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from reward_runs import PPO, REWARD, SFT, prompts, write_reward_runs
from safetensors.torch import load_file
from tiny_loop import load_tiny, prompt_tokens, tiny_shape
from trained_runs import run_of

from backstay.cli.main import cli
from backstay.errors import UsageError
from backstay.learn import PpoSettings
from backstay.learn.models.adapters import load_adapter, merged_weight
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.run_specs import OPENRLHF_VERSION, VERL_VERSION, Facts, RunSpec, openrlhf_spec, verl_spec
from backstay.learn.run_specs.gaps import BY_SERVICE, LOCAL_ONLY
from backstay.pipeline.run_specs import Kind, export_run_spec, whole_prompt

KEYS = Path(__file__).parents[1] / "learn" / "trainer_keys"
VARIANTS: list[dict[str, Any]] = [
    {},
    {"algorithm": "rloo", "group": 2, "dual_clip": 3.0, "value_clip": 0.0, "max_grad_norm": 0.0},
    {"algorithm": "grpo", "group": 4, "kl_in": "loss", "ptx_coefficient": 0.1, "cost_threshold": 0.0},
    {"algorithm": "reinforce++", "kl_target": 0.0, "reward": "python:a:b"},
    {"kl_coefficient": 0.0, "kl_target": 0.0, "kl_budget": 0.0, "kl_stop": 0.0, "value_coefficient": 0.5},
    {"average": "response", "ratio": "response", "no_eos_penalty": 0.0},
]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(_cache: None) -> LanguageModel:
    return load_tiny()


def facts(*, train: str = "lora", prompts: int = 200, tokens: float = 12.0, **ppo: Any) -> Facts:
    return Facts(tiny_shape(train=train), PpoSettings(**ppo), prompts, 20, tokens)


def names(kind: Kind) -> set[str]:
    version = {"verl": VERL_VERSION, "openrlhf": OPENRLHF_VERSION}[kind]
    return set((KEYS / f"{kind}-{version}.txt").read_text().split())


@pytest.mark.parametrize("train", ["lora", "full"])
@pytest.mark.parametrize("ppo", VARIANTS)
def test_every_option_is_one_that_the_trainer_knows(ppo: dict[str, Any], train: str) -> None:
    made = facts(train=train, **ppo)
    assert set(verl_spec(made).options) <= names("verl")
    assert set(openrlhf_spec(made).options) <= names("openrlhf")


def test_the_lists_of_names_hold_nothing_that_is_never_used() -> None:
    made = [facts(train=train, **ppo) for ppo in VARIANTS for train in ("lora", "full")]
    assert set().union(*(verl_spec(one).options for one in made)) == names("verl")
    assert set().union(*(openrlhf_spec(one).options for one in made)) == names("openrlhf")


def test_sizes_of_a_round_are_the_same_there() -> None:
    """48 responses a round in groups of 4 are 12 prompts; 3 steps a pass are 16 responses, or 4 prompts, each."""
    made = facts(algorithm="grpo", group=4, episodes=48, minibatches=3, micro_batch=12, epochs=5, updates=7, prompts=50)
    verl, other = verl_spec(made).options, openrlhf_spec(made).options
    assert (verl["data.train_batch_size"], verl["actor_rollout_ref.rollout.n"]) == ("12", "4")
    assert verl["actor_rollout_ref.actor.ppo_mini_batch_size"] == "4"
    assert verl["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"] == "4"  # divides 16 responses and 12
    assert (verl["trainer.total_training_steps"], verl["trainer.total_epochs"]) == ("7", "2")  # 4 rounds a pass
    assert (other["--rollout.batch_size"], other["--rollout.n_samples_per_prompt"]) == ("12", "4")
    assert (other["--train.batch_size"], other["--train.max_epochs"]) == ("16", "5")
    assert other["--train.num_episodes"] == "2"


def test_a_kl_target_a_response_becomes_one_a_token() -> None:
    made = facts(kl_target=6.0, tokens=12.0)
    assert verl_spec(made).options["algorithm.kl_ctrl.target_kl"] == "0.5"
    assert openrlhf_spec(made).options["--algo.kl.target"] == "0.5"


def test_what_is_off_here_is_off_there() -> None:
    off = verl_spec(facts(kl_coefficient=0.0, kl_target=0.0, value_clip=0.0, max_grad_norm=0.0)).options
    assert off["algorithm.use_kl_in_reward"] == off["actor_rollout_ref.actor.use_kl_loss"] == "False"
    assert off["critic.cliprange_value"] == off["actor_rollout_ref.actor.grad_clip"] == "1000000.0"
    assert "algorithm.kl_ctrl.kl_coef" not in off


@pytest.mark.parametrize("spec", [verl_spec, openrlhf_spec])
def test_what_has_no_counterpart_is_named(spec: Any) -> None:
    made: RunSpec = spec(facts(ratio="response", cost_threshold=0.0, ptx_coefficient=0.5, kl_budget=8.0, kl_target=6.0))
    missing = {gap.setting: gap.value for gap in made.missing}
    assert {"ppo.kl_budget", "ppo.kl_stop", "ppo.on_alarm", "ppo.cost_threshold", "ppo.ptx_coefficient"} <= set(missing)
    assert missing["ppo.kl_budget"] == "8.0" and missing["ppo.ratio"] == "response"
    none: RunSpec = spec(facts(kl_budget=0.0, kl_stop=0.0))
    assert not {"ppo.kl_budget", "ppo.kl_stop", "ppo.ratio"} & {gap.setting for gap in none.missing}


EVERYTHING: dict[str, Any] = {
    "decay": "linear",
    "critic": "reward",
    "ratio": "response",
    "dual_clip": 3.0,
    "value_coefficient": 0.5,
}
EVERYTHING |= {"cost_threshold": 0.0, "ptx_coefficient": 0.5, "held_out_members": 1, "probe_prompts": 4}
OUTSIDE: dict[str, Any] = {"reward": "https://me:word@example.org/score?key=secret#end"}


@pytest.mark.parametrize("spec", [verl_spec, openrlhf_spec])
def test_no_setting_is_dropped_in_silence(spec: Any) -> None:
    made: list[RunSpec] = [spec(facts(**ppo)) for ppo in (EVERYTHING, OUTSIDE)]
    carried = {name for one in made for name in re.findall(r"ppo\.(\w+)", " ".join(one.comes_from.values()))}
    missing = {gap.setting.removeprefix("ppo.") for one in made for gap in one.missing if "ppo." in gap.setting}
    assert carried | missing | BY_SERVICE | LOCAL_ONLY == set(PpoSettings.model_fields)
    assert not LOCAL_ONLY & (carried | missing) and not BY_SERVICE & carried
    assert {"decay", "critic", "max_failed_share", "alarm_spread", "reward"} <= missing - carried


@pytest.mark.parametrize("spec", [verl_spec, openrlhf_spec])
def test_a_kl_in_the_loss_does_not_adapt_there(spec: Any) -> None:
    made: RunSpec = spec(facts(algorithm="grpo", group=4, kl_in="loss"))
    assert {"ppo.kl_target", "ppo.kl_horizon"} <= {gap.setting for gap in made.missing}


def test_a_key_in_the_address_of_a_reward_stays_out_of_the_page() -> None:
    shown = {gap.setting: gap.value for gap in verl_spec(facts(**OUTSIDE)).missing}
    assert shown["ppo.reward"] == "https://example.org/score"


def run_script(folder: Path, **environment: str) -> list[str]:
    """The words that the script would give to Python."""
    script = folder / "run.sh"
    assert os.access(script, os.X_OK)
    fake = folder.parent / "bin"
    fake.mkdir(exist_ok=True)
    (fake / "python3").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (fake / "python3").chmod(0o755)
    path = {"PATH": f"{fake}:/usr/bin:/bin"}
    done = subprocess.run([str(script), "more=1"], capture_output=True, text=True, check=True, env=path | environment)
    return done.stdout.splitlines()


def test_the_folder_for_verl(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    written = export_run_spec(project, run_of(project, PPO), "verl", tmp_path / "verl")
    assert (written.train, written.heldout, written.left_out) == (8, 2, 0)
    files = {path.name for path in (tmp_path / "verl").iterdir()}
    assert files == {"run.sh", "reward.py", "README.md", "prompts", "reference"}
    rows = pq.read_table(tmp_path / "verl" / "prompts" / "train.parquet").to_pylist()
    assert [row["reward_model"]["ground_truth"] for row in rows] == [prompt.id for prompt in prompts()[:8]]
    assert rows[0]["prompt"] == [{"role": "user", "content": "how is the sun ?"}]
    assert rows[3]["extra_info"] == {"index": 3, "split": "train"} and rows[0]["data_source"] == "backstay"
    words = run_script(tmp_path / "verl", GPUS="4")
    assert words[:2] == ["-m", "verl.trainer.main_ppo"] and words[-1] == "more=1"
    assert "trainer.n_gpus_per_node=4" in words and 'trainer.logger=["console"]' in words
    assert f"reward.custom_reward_function.path={tmp_path / 'verl' / 'reward.py'}" in words
    assert {word.partition("=")[0] for word in words[2:-1]} <= names("verl")


def test_the_folder_for_openrlhf(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model, episodes=24)
    export_run_spec(project, run_of(project, PPO), "openrlhf", tmp_path / "o", reference=False)
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"run.sh", "README.md", "prompts"}
    rows = [json.loads(line) for line in (tmp_path / "o" / "prompts" / "train.jsonl").read_text().splitlines()]
    assert len(rows) == 24 and rows[0] == rows[8]  # eight prompts stand three times, so that a round can be filled
    assert rows[0]["prompt_id"] == prompts()[0].id and rows[0]["prompt"][0]["role"] == "user"
    words = run_script(tmp_path / "o", BACKSTAY_REWARD_URL="http://10.0.0.1:9")
    at = words.index("--reward.remote_url")
    assert words[at + 1] == "http://10.0.0.1:9/openrlhf"
    clip = words.index("--reward.clip_range")
    assert [float(word) for word in words[clip + 1 : clip + 3]] == [-1e6, 1e6]
    page = (tmp_path / "o" / "README.md").read_text()
    assert "They stand 3 times" in page and f"backstay export merged reference --run {SFT}" in page
    assert "| `ppo.kl_budget` | `8.0` |" in page and f"backstay serve-reward {PPO}" in page


def test_the_reference_is_base_and_sft_merged(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    export_run_spec(project, run_of(project, PPO), "verl", tmp_path / "verl")
    weights = load_file(tmp_path / "verl" / "reference" / "model.safetensors")
    sft = load_adapter(project.runs / SFT / "model")
    for name, base in model.decoder.weights.items():
        assert torch.allclose(weights[name], merged_weight(name.removesuffix(".weight"), base, (sft,)), atol=1e-6)


def test_prompts_go_over_as_the_model_reads_them() -> None:
    shape = tiny_shape(system="be brief .")
    from backstay.learn.models.load import load_model

    model = load_model(shape)
    prompt = prompts()[0]
    turns = whole_prompt(model, prompt)
    assert turns == [{"role": "system", "content": "be brief ."}, {"role": "user", "content": "how is the sun ?"}]
    short = load_model(tiny_shape(max_prompt_tokens=3))
    assert whole_prompt(short, prompt) is None
    assert len(prompt_tokens(load_tiny())[0]) > 3


@pytest.mark.parametrize("name", [SFT, REWARD])
def test_only_runs_of_ppo_can_be_scaled_out(tmp_path: Path, model: LanguageModel, name: str) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    with pytest.raises(UsageError, match="a finished run of ppo is needed"):
        export_run_spec(project, run_of(project, name), "verl", tmp_path / "verl")
    assert not (tmp_path / "verl").exists()


def test_what_exists_is_kept_and_what_fails_leaves_nothing(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists"):
        export_run_spec(project, run_of(project, PPO), "verl", tmp_path / "there")
    (project.runs / SFT / "manifest.json").unlink()
    with pytest.raises(UsageError, match="read a run of sft that is not here any longer"):
        export_run_spec(project, run_of(project, PPO), "verl", tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"there", "p"}


def test_the_command_takes_run_and_folder(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    base = ["--project", str(project.root), "--no-reference", "--json"]
    done = CliRunner().invoke(cli, ["export", "verl", "ppo", str(tmp_path / "a"), *base], catch_exceptions=False)
    assert json.loads(done.output)["run"] == PPO and (tmp_path / "a" / "run.sh").exists()
    done = CliRunner().invoke(cli, ["export", "openrlhf", str(tmp_path / "b"), "--run", PPO, *base])
    assert done.exit_code == 0 and (tmp_path / "b" / "prompts" / "train.jsonl").exists()
    done = CliRunner().invoke(cli, ["export", "verl", "a", "b", "c", *base])
    assert done.exit_code == 2 and re.search("at most one RUN", done.output)
