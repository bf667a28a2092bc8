"""Over-optimisation in small: a proxy reward from noisy comparisons is chased, and the gold reward is watched.

    python benchmarks/overoptimisation.py --seeds 5 --figure docs/learn/overoptimisation.svg

Everything is made up on the spot, from one seed each: sequences of 16 of 24 tokens from a random Markov chain, a policy
of 25,000 weights that has learned them, a gold reward (a random convolutional network, 128 channels wide, with mean 0
and deviation 1 on the policy's own responses), and 1,000 comparisons by it, of which a quarter is flipped. Reward models
learn from those; policies are trained by the library's own trainer with its default settings but for what a condition
names. Prints one JSON line.
"""

import argparse
import json
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from small_world import LENGTH, SPECIAL, SYMBOLS, SmallWorld
from torch import Tensor
from torch.nn import functional

from backstay.learn import PpoSettings, RewardSettings
from backstay.learn.branch_states import BranchStates
from backstay.learn.ensembles import combine
from backstay.learn.lessons import Comparison
from backstay.learn.reward import score_rows, train_members
from backstay.learn.rl import PolicyTrainer
from backstay.learn.scalar_models import RewardMember, normalise
from backstay.storage import RunFolder

COMPARISONS, FLIPPED, MEMBERS = 1000, 0.25, 5
UPDATES, EPISODES = 160, 64
FRESH = 1024
WIDTH = int(os.environ.get("LAB_WIDTH", "2"))
SMOOTH = 7

FREE: dict[str, Any] = {
    "kl_coefficient": 0.0,
    "kl_target": 0.0,
    "kl_budget": 0.0,
    "on_alarm": "warn",
    "reward_clip": 0.0,
    "combine": "mean",
}


@dataclass(frozen=True)
class Condition:
    """Which reward models, and what differs from the trainer's defaults."""

    reward: str
    changes: dict[str, Any]


CONDITIONS = {
    "one member": Condition("member", FREE),
    "one model on all data": Condition("single", FREE),
    "mean of 5": Condition("ensemble", FREE),
    "worst of 5 (WCO)": Condition("ensemble", FREE | {"combine": "worst"}),
    "UWO": Condition("ensemble", FREE | {"combine": "uwo", "uncertainty_penalty": 0.5}),
    "PAR": Condition("single", FREE | {"shaping": "par"}),
    "hard budget": Condition("single", FREE | {"kl_budget": 8.0}),
    "defaults": Condition("ensemble", {}),
}


class Gold:
    """A random convolutional network over response tokens, standardised on the base policy's responses."""

    def __init__(self, generator: torch.Generator) -> None:
        self.embedding = torch.randn(SYMBOLS + len(SPECIAL), 8, generator=generator)
        self.filters = torch.randn(128, 8, WIDTH, generator=generator) / math.sqrt(8 * WIDTH)
        self.weights = torch.randn(128, generator=generator)
        self.mean, self.deviation = 0.0, 1.0

    def __call__(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        padded = torch.zeros(len(tokens), LENGTH, dtype=torch.long)
        for row, found in enumerate(tokens):
            padded[row, : len(found)] = torch.tensor(found)
        channels = torch.tanh(functional.conv1d(self.embedding[padded].transpose(1, 2), self.filters))
        return (channels.mean(2) @ self.weights - self.mean) / self.deviation

    def standardise(self, tokens: Sequence[Sequence[int]]) -> None:
        raw = self(tokens)
        self.mean, self.deviation = float(raw.mean()), float(raw.std())


class Lab(SmallWorld):
    """One seed's world with a gold reward, and the reward models that a condition may ask for."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(seed, folder)
        self.gold = Gold(self.generator)
        self.gold.standardise(self.play((self.reference,), FRESH, seed=1)[1])
        self.rows, self.lessons, self.heldout = self._comparisons(self.generator)
        self.accuracy: dict[str, float] = {}
        self.members = self._train("ensemble", MEMBERS, bootstrap=True)
        self.single = self._train("single", 1, bootstrap=False)

    def _comparisons(
        self, generator: torch.Generator
    ) -> tuple[BranchStates, list[Comparison], list[tuple[int, int, bool]]]:
        """Noisy comparisons to learn from, and as many clean ones to measure on."""
        prompts, responses = self.play((self.reference,), 4 * COMPARISONS, seed=2)
        gold = self.gold(responses).tolist()
        rows = BranchStates(self.model, prompts, responses, range(len(prompts)))
        flips = torch.rand(COMPARISONS, generator=generator) < FLIPPED
        lessons = []
        for i in range(COMPARISONS):
            better = gold[2 * i] > gold[2 * i + 1]
            lessons.append(Comparison(2 * i, 2 * i + 1, float(better != bool(flips[i])), 1.0))
        later = range(2 * COMPARISONS, 4 * COMPARISONS, 2)
        return rows, lessons, [(i, i + 1, gold[i] > gold[i + 1]) for i in later]

    def _train(self, name: str, count: int, *, bootstrap: bool) -> list[RewardMember]:
        settings = RewardSettings(
            members=count, lora_rank=4, learning_rate=1e-2, checkpoint_every=100_000, seed=self.seed
        )
        folder = RunFolder(self.folder / name)
        members = train_members(self.rows, [self.lessons] * count, settings, folder, bootstrap=bootstrap)
        every = sorted({row for a, b, _ in self.heldout for row in (a, b)})
        scores = score_rows(self.rows, members, every)
        place = {row: index for index, row in enumerate(every)}
        mean = scores.mean(0)
        self.accuracy[name] = float(
            np.mean([(mean[place[a]] > mean[place[b]]) == better for a, b, better in self.heldout])
        )
        normalise(members, scores)
        return members

    def run(self, name: str) -> dict[str, Any]:
        """Train a policy under a condition; its curves, and gold on fresh responses of the policy that leaves."""
        condition = CONDITIONS[name]
        members = {"ensemble": self.members, "single": self.single, "member": self.members[:1]}[condition.reward]
        defaults: dict[str, Any] = {
            "updates": UPDATES,
            "episodes": EPISODES,
            "max_new_tokens": LENGTH,
            "temperature": 1.0,
            "micro_batch": EPISODES,
            "no_eos_penalty": 0.0,
            "learning_rate": LEARNING_RATE,
            "value_learning_rate": 3e-3,
            "checkpoint_every": 100_000,
            "seed": self.seed,
        }
        folder = RunFolder(self.folder / name.replace(" ", "-"))
        started = time.perf_counter()
        trainer = PolicyTrainer(
            self.model,
            self.prompts,
            reference=(self.reference,),
            members=members,
            references=self._references(members),
            shape=self.shape,
            settings=PpoSettings(**(defaults | condition.changes)),
            folder=folder,
            gold=lambda _index, text, _finished: float(self.gold([self.model.encode(text)])),
        )
        result = trainer.run()
        rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
        _, fresh = self.play((self.reference, result.policy), FRESH, seed=99)
        final = float(self.gold(fresh).mean())
        alarm = next((row["update"] for row in rows if row.get("alarm")), None)
        return {
            "condition": name,
            "seed": self.seed,
            "gold": [row["gold_mean"] for row in rows],
            "proxy": [row["reward_raw_mean"] for row in rows],
            "kl": [row["kl_nats"] for row in rows],
            "novelty": [row["novelty"] for row in rows],
            "spread": [row["reward_spread"] for row in rows],
            "repetition": [row["repetition"] for row in rows],
            "over": [row.get("over", "") for row in rows],
            "final": final,
            "reason": result.reason,
            "alarm": alarm,
            "why": next((row["alarm"] for row in rows if row.get("alarm")), ""),
            "kl_nats": result.kl_nats,
            "accuracy": self.accuracy,
            "seconds": time.perf_counter() - started,
        }

    def _references(self, members: Sequence[RewardMember]) -> list[list[float]]:
        """Scores of four responses of the reference to every prompt."""
        prompts, responses = self.play((self.reference,), 4 * len(self.prompts), seed=3)
        rows = BranchStates(self.model, prompts, responses, range(len(prompts)))
        scores = combine(score_rows(rows, members, range(len(rows))), "mean", 0.0).tolist()
        return [scores[i :: len(self.prompts)] for i in range(len(self.prompts))]


LEARNING_RATE = float(os.environ.get("LAB_LR", "1e-3"))


def world(job: tuple[int, tuple[str, ...]]) -> list[dict[str, Any]]:
    seed, names = job
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="backstay-lab-") as folder:
        lab = Lab(seed, Path(folder))
        return [lab.run(name) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CONDITIONS))
    parser.add_argument("--raw", type=Path)
    options = parser.parse_args()
    jobs = [(seed, tuple(options.only)) for seed in range(options.seeds)]
    with multiprocessing.get_context("spawn").Pool(min(2, len(jobs))) as pool:
        found = [row for rows in pool.imap(world, jobs) for row in rows]
    if options.raw:
        options.raw.write_text(json.dumps(found))
    for row in found:
        gold = np.convolve(row["gold"], np.ones(SMOOTH) / SMOOTH, "valid")
        print(
            f"{row['seed']} {row['condition']:24s} final {row['final']:+.2f} peak {gold.max():+.2f}@{gold.argmax()} "
            f"proxy {row['proxy'][-1]:.2f} kl {row['kl'][-1]:.1f} alarm {row['alarm']} {row['why'][:80]} {row['reason']} {row['seconds']:.0f}s {row['accuracy']}"
        )


if __name__ == "__main__":
    main()
