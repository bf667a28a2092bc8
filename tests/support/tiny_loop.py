"""The tiny model with small, seeded inputs for every training stage.

Run as a program it trains one stage and kills itself with SIGKILL at a chosen moment:
`tiny_loop.py STAGE FOLDER rows:N` after N rows of metrics, `files:N` while writing the N-th file of checkpoints.
"""

import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from backstay.learn import DpoSettings, ModelSettings, PpoSettings, RewardSettings, SftSettings, training_state
from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison, Ranking, SignLabel
from backstay.learn.lessons import Lesson as RewardLesson
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.policies import new_adapter
from backstay.learn.preference import PreferenceTrainer
from backstay.learn.reward import train_ensemble, train_members
from backstay.learn.rl import PolicyTrainer
from backstay.learn.scalar_models import RewardMember, new_member
from backstay.learn.sft import Lesson, train_sft
from backstay.records import Message, Prompt
from backstay.storage import RunFolder

SUBJECTS = ("the sun", "the earth", "the dog", "the cat", "bread", "tea", "the city", "music", "the book", "the road")
PRAISE = ("good", "great", "lovely", "happy", "warm")
BLAME = ("bad", "awful", "dull", "slow", "cold", "sad")
M = TypeVar("M", bound=nn.Module)


def tiny_shape(**changes: Any) -> ModelSettings:
    """Settings of the tiny model on one thread."""
    return ModelSettings(
        **({"source": "tiny", "branch_layer": 1, "threads": 1, "system": "", "lora_rank": 8, "device": "cpu"} | changes)
    )


def load_tiny(dtype: torch.dtype = torch.float32, **changes: Any) -> LanguageModel:
    """The tiny model in a data type of choice; each call has its own weights in memory."""
    model = load_model(tiny_shape(**changes))
    model.decoder.to(dtype)
    return model


def user(content: str) -> Prompt:
    """A prompt of one user turn."""
    return Prompt.make((Message(role="user", content=content),), source="test")


def prompt_tokens(model: LanguageModel) -> list[list[int]]:
    """Ten prompts as tokens."""
    found = [model.prompt_tokens(user(f"how is {subject} ?")) for subject in SUBJECTS]
    return [tokens for tokens in found if tokens is not None]


def gold(text: str) -> int:
    """Words of praise minus words of blame."""
    words = text.split()
    return sum(word in PRAISE for word in words) - sum(word in BLAME for word in words)


def lessons(model: LanguageModel, count: int) -> list[Lesson]:
    """Demonstrations that praise and blame alike."""
    draw, prompts = random.Random(0), prompt_tokens(model)
    made = []
    for _ in range(count):
        which, word = draw.randrange(len(SUBJECTS)), draw.choice((*PRAISE, *BLAME))
        answer = model.response_tokens(f"{SUBJECTS[which]} is {word} .", finished=True, limit=20)
        made.append(Lesson(tuple(prompts[which]), tuple(answer)))
    return made


def shaken(module: M, *, scale: float = 0.1, seed: int = 0) -> M:
    """The same module with noise on every weight, so that a fresh adapter does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(scale * noise.to(parameter.dtype))
    return module


def fresh_adapter(model: LanguageModel, shape: ModelSettings, below: Sequence[Adapter] = (), seed: int = 0) -> Adapter:
    """An adapter that changes nothing yet, in the model's data type."""
    generator = torch.Generator().manual_seed(seed)
    return new_adapter(model.decoder, shape, f"fresh-{seed}", below, generator).to(model.decoder.embedding.dtype)


def fresh_members(model: LanguageModel, count: int, *, layers: int = 1) -> list[RewardMember]:
    """Reward models with random heads and shaken adapters, frozen."""
    generator = torch.Generator().manual_seed(5)
    made = [new_member(model.decoder, layers=layers, rank=4, generator=generator) for _ in range(count)]
    dtype = model.decoder.embedding.dtype
    return [shaken(member.to(dtype), seed=index).requires_grad_(False) for index, member in enumerate(made)]


def run_sft(model: LanguageModel, folder: RunFolder) -> dict[str, nn.Module]:
    """Twelve steps of supervised fine-tuning, a checkpoint every third."""
    settings = SftSettings(epochs=3, batch_size=4, learning_rate=1e-2, checkpoint_every=3)
    return {"sft": train_sft(model, lessons(model, 15), tiny_shape(), settings, folder)}


def labelled_rows(model: LanguageModel) -> BranchStates:
    """Twelve responses to be judged."""
    prompts, taught = prompt_tokens(model), lessons(model, 12)
    index = {tuple(tokens): number for number, tokens in enumerate(prompts)}
    return BranchStates(model, prompts, [x.response for x in taught], [index[x.prompt] for x in taught])


def run_reward(model: LanguageModel, folder: RunFolder) -> dict[str, nn.Module]:
    """Two members with eight steps each, a checkpoint every third."""
    rows, draw = labelled_rows(model), random.Random(1)
    pairs = []
    for _ in range(15):
        a, b = draw.sample(range(12), 2)
        pairs.append(Comparison(a, b, p_a=draw.random(), weight=draw.random()))
    settings = RewardSettings(members=2, epochs=2, batch_size=4, lora_rank=4, checkpoint_every=3)
    return {f"member-{i}": m for i, m in enumerate(train_ensemble(rows, pairs, settings, folder))}


def run_shards(model: LanguageModel, folder: RunFolder) -> dict[str, nn.Module]:
    """Two members with lessons of every kind of their own, eight and six steps, a checkpoint every third."""
    rows, draw = labelled_rows(model), random.Random(2)
    curricula: list[list[RewardLesson]] = []
    for count in (5, 3):
        own: list[RewardLesson] = []
        for _ in range(count):
            a, b, c = draw.sample(range(12), 3)
            own += [
                Comparison(a, b, draw.random(), 1.0),
                Ranking(((a,), (b, c)), 0.5),
                SignLabel(c, draw.random(), 1.0),
            ]
        curricula.append(own)
    settings = RewardSettings(
        epochs=2, batch_size=4, layers=1, lora_rank=4, checkpoint_every=3, margin=0.5, label_smoothing=0.1
    )
    trained = train_members(rows, curricula, settings, folder, bootstrap=False)
    return {f"member-{i}": m for i, m in enumerate(trained)}


def run_ppo(model: LanguageModel, folder: RunFolder, **changes: Any) -> dict[str, nn.Module]:
    """Five updates, a checkpoint every second; `changes` override settings."""
    reference = shaken(fresh_adapter(model, tiny_shape()), seed=3).requires_grad_(False)
    given: dict[str, Any] = {"updates": 5, "episodes": 8, "max_new_tokens": 6, "learning_rate": 5e-3}
    settings = PpoSettings(**({**given, "checkpoint_every": 2} | changes))
    members = fresh_members(model, 3)
    trainer = PolicyTrainer(
        model,
        prompt_tokens(model),
        reference=(reference,),
        members=members[:2],
        costs=members[2:],
        lessons=lessons(model, 7),
        shape=tiny_shape(),
        settings=settings,
        folder=folder,
        gold=lambda _index, text, _finished: gold(text),
        refuses=lambda text: "not" in text,
    )
    result = trainer.run()
    final = folder.path / "final"
    final.mkdir(exist_ok=True)
    trainer.state.write(final)
    return {"policy": result.policy, **result.critics}


SAFE: dict[str, Any] = {
    "episodes": 32,
    "learning_rate": 1e-3,
    "cost_threshold": 0.0,
    "critic": "reward",
    "ptx_coefficient": 0.5,
    "ptx_batch": 3,
    "probe_prompts": 3,
    "probe_every": 2,
    "alarm_length": 0.5,
    "alarm_patience": 9,
}
"""Everything that has a state of its own; a monitor is over its limit in every round, and no alarm goes off."""


def preference_trainer(
    model: LanguageModel, folder: RunFolder, *, train: str = "lora", branch_layer: int = 1, **changes: Any
) -> PreferenceTrainer:
    """Fifteen random pairs of twelve responses, over a reference that is noise; `changes` override settings."""
    prompts, taught = prompt_tokens(model), lessons(model, 12)
    index = {tuple(tokens): number for number, tokens in enumerate(prompts)}
    draw = random.Random(1)
    pairs = []
    for _ in range(15):
        a, b = draw.sample(range(12), 2)
        pairs.append(Comparison(a, b, p_a=draw.random(), weight=draw.random()))
    shape = tiny_shape(train=train, branch_layer=branch_layer)
    given: dict[str, Any] = {"epochs": 2, "batch_size": 4, "micro_batch": 3, "kl_samples": 8, "max_new_tokens": 6}
    given |= {"kl_every": 3, "checkpoint_every": 3, "learning_rate": 5e-3, "kl_budget": 0.0}
    return PreferenceTrainer(
        model,
        prompts,
        [lesson.response for lesson in taught],
        [index[lesson.prompt] for lesson in taught],
        pairs,
        reference=(shaken(fresh_adapter(model, shape), seed=3).requires_grad_(False),),
        shape=shape,
        settings=DpoSettings(**(given | changes)),
        folder=folder,
    )


def run_dpo(model: LanguageModel, folder: RunFolder) -> dict[str, nn.Module]:
    """Eight steps of KTO, which has a reference point besides, with KL measured and a checkpoint every third."""
    return {"policy": preference_trainer(model, folder, loss="kto").run().policy}


STAGES: dict[str, Callable[[LanguageModel, RunFolder], dict[str, nn.Module]]] = {
    "sft": run_sft,
    "reward": run_reward,
    "shards": run_shards,
    "ppo": run_ppo,
    "safe": partial(run_ppo, **SAFE),
    "rloo": partial(run_ppo, algorithm="rloo", group=2),
    "grpo": partial(run_ppo, algorithm="grpo", group=4, kl_in="loss"),
    "reinforce++": partial(run_ppo, algorithm="reinforce++"),
    "dpo": run_dpo,
}


def run_stage(stage: str, path: Path, *, kill: str = "") -> dict[str, nn.Module]:
    """Run one stage in a folder, going on where it was; `kill` as in the module's docstring."""
    folder = RunFolder(path)
    moment, _, count = kill.partition(":")
    if moment == "rows":
        folder.observers.append(_Countdown(int(count)))
    if moment == "files":
        _kill_in_checkpoint(int(count))
    return STAGES[stage](load_tiny(), folder)


class _Countdown:
    """Kills this process at the n-th call."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, _row: dict[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _kill_in_checkpoint(count: int) -> None:
    tick, write = _Countdown(count), vars(training_state)["save_file"]

    def save_half(tensors: dict[str, torch.Tensor], path: Path) -> None:
        write(tensors, path)
        if tick.left == 1:
            os.truncate(path, path.stat().st_size // 2)
        tick({})

    vars(training_state)["save_file"] = save_half


if __name__ == "__main__":
    run_stage(sys.argv[1], Path(sys.argv[2]), kill=sys.argv[3])
