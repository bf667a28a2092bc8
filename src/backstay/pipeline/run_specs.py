"""Run specs as folders: command, prompts, reward function, reference policy, and a page that says what is missing."""

import json
import secrets
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from backstay.errors import UsageError
from backstay.learn.export import export_merged
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model, load_reader
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.run_specs import (
    OPENRLHF_VERSION,
    VERL_VERSION,
    Facts,
    RunSpec,
    openrlhf_spec,
    verl_reward,
    verl_spec,
)
from backstay.learn.settings import ModelSettings
from backstay.pipeline.project import Project
from backstay.pipeline.runs import Run
from backstay.pipeline.served_rewards import input_of, prompts_of, settings_of
from backstay.pipeline.stages.base_model import load_policy
from backstay.records import Message, Prompt
from backstay.storage.atomic import disk_errors, replace_folder_atomic

Kind = Literal["verl", "openrlhf"]
VERSIONS = {"verl": VERL_VERSION, "openrlhf": OPENRLHF_VERSION}
HEAD = """\
#!/bin/sh
# GPUS: graphics cards to use. NAME: what the run is called.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
GPUS=${GPUS:-1}
NAME=${NAME:-backstay}
"""


@dataclass(frozen=True)
class Written:
    """What an export holds, for messages."""

    train: int
    heldout: int
    left_out: int


def export_run_spec(project: Project, run: Run, kind: Kind, folder: Path, *, reference: bool = True) -> Written:
    """Write the spec of a finished run of ppo; the folder appears whole or not at all.

    `reference` merges the sft policy that training starts from into a model of its own. Raises UsageError when the
    folder exists, or the run is not one of ppo.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists", cure="choose another name, or delete it")
    if run.stage != "ppo" or run.manifest is None:
        state = "unfinished" if run.manifest is None else f"a run of {run.stage}"
        raise UsageError(f"{run.name} is {state}; a finished run of ppo is needed", cure="backstay runs")
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        with disk_errors(folder):
            temporary.mkdir(parents=True)
            written = _write(project, run, kind, temporary, reference=reference)
        replace_folder_atomic(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def _write(project: Project, run: Run, kind: Kind, folder: Path, *, reference: bool) -> Written:
    shape: ModelSettings = settings_of(run, "model", ModelSettings)
    settings: PpoSettings = settings_of(run, "ppo", PpoSettings)
    model = load_model(shape) if reference else load_reader(shape)
    every = prompts_of(project, input_of(project, run, "rate"))
    fitting = [(prompt, turns) for prompt in every if (turns := whole_prompt(model, prompt)) is not None]
    train = [pair for pair in fitting if pair[0].split == "train"]
    heldout = [pair for pair in fitting if pair[0].split == "heldout"]
    if not train:
        raise UsageError("no train prompt fits model.max_prompt_tokens as a whole", cure="raise it, and run again")
    facts = Facts(shape, settings, len(train), len(heldout), _response_tokens(run.path, settings))
    spec = verl_spec(facts) if kind == "verl" else openrlhf_spec(facts)
    (folder / "prompts").mkdir()
    write = _write_parquet if kind == "verl" else _write_jsonl
    write(folder / "prompts", "train", train * facts.repeats)
    write(folder / "prompts", "heldout", heldout or train[:1])
    if kind == "verl":
        shutil.copyfile(verl_reward.__file__, folder / "reward.py")
    _executable(folder / "run.sh", _command(kind, spec))
    if reference:
        sft = load_policy(model, input_of(project, run, "sft").path)
        card = f"# The reference policy of {run.name}\n\nTraining starts from it, and its KL is measured against it.\n"
        export_merged(model, (sft,), folder / "reference", model_card=card)
    left_out = len(every) - len(fitting)
    (folder / "README.md").write_text(_page(kind, run, spec, facts, left_out, reference=reference), encoding="utf-8")
    return Written(len(train), len(heldout), left_out)


def whole_prompt(model: LanguageModel, prompt: Prompt) -> list[dict[str, str]] | None:
    """The messages that the model reads, its system message among them; None when they are too long to fit whole."""
    turns = list(prompt.messages)
    if model.system and turns[0].role != "system":
        turns.insert(0, Message(role="system", content=model.system))
    if len(model.encode(model.prompt_text(turns))) > model.max_prompt_tokens:
        return None
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _response_tokens(run: Path, settings: PpoSettings) -> float:
    """Mean response length of the last round that was logged, or the limit."""
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = [row["response_tokens"] for row in rows if row.get("response_tokens")]
    return float(found[-1]) if found else float(settings.max_new_tokens)


Pairs = Sequence[tuple[Prompt, list[dict[str, str]]]]


def _write_parquet(folder: Path, split: str, pairs: Pairs) -> None:
    rows = [
        {
            "data_source": "backstay",
            "prompt": turns,
            "ability": prompt.source,
            "reward_model": {"style": "model", "ground_truth": prompt.id},
            "extra_info": {"index": index, "split": split},
        }
        for index, (prompt, turns) in enumerate(pairs)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")


def _write_jsonl(folder: Path, split: str, pairs: Pairs) -> None:
    rows = [{"prompt": turns, "prompt_id": prompt.id, "datasource": "backstay"} for prompt, turns in pairs]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def _command(kind: Kind, spec: RunSpec) -> str:
    if kind == "verl":
        options = [f"{name}={_quoted(value or '')}" for name, value in spec.options.items()]
        start = "exec python3 -m verl.trainer.main_ppo"
        more = "export BACKSTAY_REWARD_URL=${BACKSTAY_REWARD_URL:-http://127.0.0.1:8787}\n"
    else:
        options = [name if value is None else f"{name} {_quoted(value)}" for name, value in spec.options.items()]
        start = "exec python3 -m openrlhf.cli.train_ppo_ray"
        more = "REWARD_URL=${BACKSTAY_REWARD_URL:-http://127.0.0.1:8787}/openrlhf\n"
    return HEAD + more + " \\\n  ".join([start, *options, '"$@"']) + "\n"


def _quoted(value: str) -> str:
    """Words with a variable in double quotes, whose meaning the shell keeps; lists of numbers as they are."""
    if "$" in value:
        return f'"{value}"'
    return f"'{value}'" if any(character in value for character in '[]"*?&;|<>(){}#!~') else value


def _executable(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _page(kind: Kind, run: Run, spec: RunSpec, facts: Facts, left_out: int, *, reference: bool) -> str:
    name = {"verl": "verl", "openrlhf": "OpenRLHF"}[kind]
    carried = [f"| `{setting}` | `{option}` | `{spec.options[option] or 'on'}` |" for option, setting in _carried(spec)]
    gaps = [f"| `{gap.setting}` | `{gap.value}` | {gap.what} |" for gap in spec.missing]
    first = "" if reference else f"    backstay export merged reference --run {_sft(run)}\n"
    repeated = f" They stand {facts.repeats} times, so that a round can be filled." if facts.repeats > 1 else ""
    dropped = f" {left_out} prompts are left out: they do not fit {facts.model.max_prompt_tokens} tokens whole."
    return (
        f"# {run.name} for {name} {VERSIONS[kind]}\n\n"
        "Our recipe in the words of another trainer, with our reward behind HTTP. It was written from the trainer's\n"
        "own configuration; it has not been run here, for that takes graphics cards.\n\n"
        "## Commands\n\n"
        "In the Backstay project, and left running:\n\n"
        f"{first}    backstay serve-reward {run.name}\n\n"
        f"Where {name} {VERSIONS[kind]} is installed (`GPUS` cards; further options go to the trainer):\n\n"
        "    GPUS=1 BACKSTAY_REWARD_URL=http://127.0.0.1:8787 ./run.sh\n\n"
        "A service on another machine needs `--host` and a token there"
        + (", and the same `BACKSTAY_REWARD_TOKEN` here.\n\n" if kind == "verl" else _TOKENLESS)
        + f"{facts.train_prompts} prompts to train on, {facts.heldout_prompts} held out.{repeated}"
        + (dropped if left_out else "")
        + "\n\n## Carried over\n\n| ours | theirs | value |\n|---|---|---|\n"
        + "\n".join(carried)
        + "\n\nThe service applies `ppo.combine`, `ppo.uncertainty_penalty`, the prompts' baselines, `ppo.shaping`,\n"
        "`ppo.reward_clip` and `ppo.no_eos_penalty` before a score leaves it, so the trainer adds none of them.\n\n"
        "## Without a counterpart\n\n| ours | value | what that means |\n|---|---|---|\n" + "\n".join(gaps) + "\n"
    )


_TOKENLESS = (
    "; OpenRLHF sends none, so reach it\n"
    "through a tunnel that ends on this machine: `ssh -L 8787:127.0.0.1:8787 HOST`.\n\n"
)


def _carried(spec: RunSpec) -> list[tuple[str, str]]:
    return [(option, setting) for option, setting in spec.comes_from.items() if setting]


def _sft(run: Run) -> str:
    return str(run.manifest.predicate["inputs"]["sft"]["run"]) if run.manifest else "sft"
