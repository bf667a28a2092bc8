"""Our losses beside those of TRL: same weights, same batch, float32, and how far apart the numbers are.

    python benchmarks/trl_oracle.py [--venv DIR] [--work DIR]

TRL lives in an environment of its own, made on the first run (torch first, then trl, transformers, peft, datasets) and
kept when --venv names a place for it. There (`trl_peer.py`) TRL's own trainers compute the loss of a batch that they
collated themselves; GRPO and RLOO also sample the responses and work out the advantages. Weights, tokens and losses
cross over as safetensors and JSON. On our side the offline losses are those of `PreferenceTrainer.accumulate`, so that
log-probabilities, reference and normalisation are compared too, and not the formula alone.

TRL 1.16 smooths labels in its robust loss only; the peer of cDPO is its sigmoid loss of both orders of a pair, mixed.

Prints one JSON line; `skipped` names the reason when TRL cannot be installed. Exit code 1 where a difference is 1e-5
or more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from backstay.learn import DpoSettings, ModelSettings
from backstay.learn.advantage import group_standardised, leave_one_out
from backstay.learn.batches import Dialogues, pad_dialogues
from backstay.learn.bradley_terry import bradley_terry_loss
from backstay.learn.lessons import Comparison
from backstay.learn.models.load import load_model, use_threads
from backstay.learn.models.tiny import write_tiny
from backstay.learn.policies import response_logprobs
from backstay.learn.policy_loss import clipped_policy_loss, ratio, response_ratio, token_weights
from backstay.learn.preference import PreferenceTrainer
from backstay.learn.preference.trainer import strangers_of
from backstay.records import Message, Prompt
from backstay.storage import RunFolder

TORCH, TRL = "torch==2.13.0", "trl==1.16.0"
OTHERS = ("transformers", "peft", "datasets", "safetensors")
LIMIT = 1e-5
Numbers = float | list[float]
QUESTIONS = ("how is the sun ?", "is the city good ?", "please help me bake bread .", "what is music ?")
CHOSEN = ("the sun is warm .", "yes it is lovely .", "mix water and bake it slow .", "music is a good book")
REJECTED = ("no .", "the city is awful and cold and sad .", "i cannot help with that sorry", "it is the road .")
HOW = {
    "beta": 0.3,
    "flip_rate": 0.1,
    "desirable_weight": 1.3,
    "undesirable_weight": 0.8,
    "temperature": 0.7,
    "clip": 0.2,
    "group": 4,
    "offline": {"dpo": "sigmoid", "ipo": "ipo", "robust": "robust", "cdpo": "sigmoid"},
    "kto": {"kto": ["policy", "reference"], "kto-swapped": ["reference", "policy"]},
    "online": {"grpo": "grpo", "grpo-dapo": "dapo", "rloo": ""},
}
"""What both sides do. KTO goes both ways round: its reference point is above 0 one way, and bounded the other."""
LEVELS = {"grpo": "response", "grpo-dapo": "token", "rloo": "response"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, help="environment for TRL; made when it does not exist")
    parser.add_argument("--work", type=Path, help="folder for what crosses over; default: a temporary one")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="backstay-trl-"))
    venv = options.venv or Path(tempfile.mkdtemp(prefix="backstay-trl-venv-"))
    found: dict[str, Any] = {"benchmark": "trl-oracle", "trl": TRL.partition("==")[2], "limit": LIMIT}
    reason = install(venv)
    if reason:
        print(json.dumps(found | {"skipped": reason}, sort_keys=True))
        return
    write_inputs(work)
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    peer = [venv / "bin" / "python", Path(__file__).with_name("trl_peer.py"), work]
    subprocess.run(peer, env=os.environ | quiet, check=True, stdout=sys.stderr)
    theirs, ours = json.loads((work / "theirs.json").read_text()), our_side(work)
    apart = {name: furthest(ours[name], theirs[name]) for name in theirs}
    largest = max(apart.values())
    found |= {"ours": ours, "theirs": theirs, "difference": apart, "largest": largest, "passed": largest < LIMIT}
    print(json.dumps(found, sort_keys=True))
    sys.exit(0 if found["passed"] else 1)


def furthest(ours: Numbers, theirs: Numbers) -> float:
    """The largest distance between two losses, or two rows of advantages."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    return abs(float(ours) - float(theirs))


def install(venv: Path) -> str:
    """Make the environment unless it is there; the reason when that is not possible, else an empty text."""
    python = venv / "bin" / "python"
    probe = [python, "-c", "import trl"]
    if python.exists() and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        return ""
    steps: list[list[Any]] = [
        [sys.executable, "-m", "venv", venv],
        [python, "-m", "pip", "install", "--quiet", TORCH],
        [python, "-m", "pip", "install", "--quiet", TRL, *OTHERS],
    ]
    for step in steps:
        done = subprocess.run(step, check=False, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["no message"]
            return f"{' '.join(str(word) for word in step[1:])}: {said[-1]}"
    return ""


def write_inputs(work: Path) -> None:
    """Two models in Hugging Face layout (the reference, and a policy near it) and the batch as tokens."""
    reference, policy = write_tiny(work / "reference", seed=0), write_tiny(work / "policy", seed=0)
    generator = torch.Generator().manual_seed(1)
    weights = load_file(reference / "model.safetensors")
    moved = {name: w + 0.02 * torch.randn(w.shape, generator=generator) for name, w in sorted(weights.items())}
    save_file(moved, policy / "model.safetensors", metadata={"format": "pt"})
    model = load_model(shape_of(reference))
    prompts = [Prompt.make((Message(role="user", content=text),), source="benchmark") for text in QUESTIONS]
    answers = [text for pair in zip(CHOSEN, REJECTED, strict=True) for text in pair]
    responses = [model.response_tokens(text, finished=index != 3, limit=20) for index, text in enumerate(answers)]
    prompt_of = [index // 2 for index in range(len(responses))]
    batch = {
        "how": HOW,
        "questions": QUESTIONS,
        "prompts": [model.prompt_tokens(prompt) for prompt in prompts],
        "responses": responses,
        "prompt_of": prompt_of,
        "strangers": strangers_of(prompt_of, seed=0),
    }
    (work / "batch.json").write_text(json.dumps(batch))


def shape_of(folder: Path) -> ModelSettings:
    """Settings of a model in a folder, with every weight trained, on one thread."""
    return ModelSettings(source=str(folder), branch_layer=0, train="full", threads=1, system="", device="cpu")


def our_side(work: Path) -> dict[str, Numbers]:
    """Our losses on the same weights and tokens, by the names of `theirs.json`."""
    use_threads(shape_of(work / "policy"))
    batch = json.loads((work / "batch.json").read_text())
    how = batch["how"]
    ours: dict[str, Numbers] = {name: offline(work, batch, name, ["policy", "reference"]) for name in how["offline"]}
    ours |= {name: offline(work, batch, "kto", roles) for name, roles in how["kto"].items()}
    ours["reward"] = reward(work, batch)
    for name in how["online"]:
        ours |= online(work, name, how)
    return ours


def offline(work: Path, batch: dict[str, Any], loss: Any, roles: list[str]) -> float:
    """The loss of the whole batch as one optimizer step in uneven micro-batches; `roles` are policy and reference."""
    how, shape = batch["how"], shape_of(work / roles[1])
    settings = DpoSettings(
        loss=loss,
        beta=how["beta"],
        label_smoothing=how["flip_rate"] if loss in ("cdpo", "robust") else 0.0,
        desirable_weight=how["desirable_weight"],
        undesirable_weight=how["undesirable_weight"],
        micro_batch=3,
        seed=0,
    )
    pairs = [Comparison(2 * index, 2 * index + 1, 1.0, 1.0) for index in range(len(QUESTIONS))]
    trainer = PreferenceTrainer(
        load_model(shape),
        batch["prompts"],
        batch["responses"],
        batch["prompt_of"],
        pairs,
        reference=(),
        shape=shape,
        settings=settings,
        folder=RunFolder(work / "ours" / loss),
    )
    weights = load_file(work / roles[0] / "model.safetensors")
    with torch.no_grad():
        for path, whole in trainer.policy.wholes.items():
            whole.copy_(weights[path.replace("/", ".") + ".weight"])
    return trainer.accumulate(pairs)[0]


@torch.no_grad()
def reward(work: Path, batch: dict[str, Any]) -> float:
    """Bradley-Terry on a linear head over the last state, whose weights the peer drew."""
    model = load_model(shape_of(work / "policy"))
    prompts = [batch["prompts"][index] for index in batch["prompt_of"]]
    dialogues = pad_dialogues(prompts, batch["responses"], model.pad_id)
    trunk = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    hidden = model.decoder.top(trunk, dialogues.mask_B_T)
    last = hidden[torch.arange(len(hidden)), dialogues.prompt_width + dialogues.response_B - 1]
    score = last @ load_file(work / "head.safetensors")["head"][0]
    ones = torch.ones(len(QUESTIONS))
    return float(bradley_terry_loss(score[::2], score[1::2], ones, ones) / ones.sum())


@torch.no_grad()
def online(work: Path, name: str, how: dict[str, Any]) -> dict[str, Numbers]:
    """Advantages from the rewards, ratios from our log-probabilities, and the loss of the step."""
    model, given = load_model(shape_of(work / "policy")), load_file(work / f"{name}.safetensors")
    tokens = torch.cat((given["prompt_ids"], given["completion_ids"]), 1)
    prompt_B, response_B = (given[key].sum(1) for key in ("prompt_mask", "completion_mask"))
    dialogues = Dialogues(tokens, prompt_B, response_B, given["prompt_ids"].shape[1])
    valid = torch.ones(len(tokens), dtype=torch.bool)
    estimate = leave_one_out if name == "rloo" else group_standardised
    advantage = estimate(given["reward"], valid, how["group"])
    branch = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    logprob = response_logprobs(model.decoder, dialogues, branch, (), temperature=how["temperature"])
    mask, old = dialogues.response_mask_B_R, given["old_logprob"]
    ratios = response_ratio(logprob, old, mask) if name == "rloo" else ratio(logprob, old)
    losses = clipped_policy_loss(ratios, advantage[:, None].expand_as(ratios), clip=how["clip"])
    level: Any = LEVELS[name]
    return {name: float((losses * token_weights(mask, level)).sum()), f"{name} advantages": advantage.tolist()}


if __name__ == "__main__":
    main()
