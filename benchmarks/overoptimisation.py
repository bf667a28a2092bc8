"""Over-optimisation in small: a proxy reward from noisy comparisons is chased, and the gold reward is watched.

    python benchmarks/overoptimisation.py --seeds 5 --figure docs/learn/overoptimisation.svg

Everything is made up on the spot, from one seed each: sequences of 16 of 24 words, a policy of about 21,000 weights
that has learned them, a gold reward (a random network with mean 0 and deviation 1 on that policy's responses), and
1,000 comparisons by it, of which a quarter is flipped. Reward models learn from those; policies are trained by the
library's own trainer with its default settings but for what a condition names. What is reported is gold: its peak (of a
running mean over 7 rounds), its value on 1,024 fresh responses of the policy that leaves, and how much of the peak was
lost when the alarm went off. Prints one JSON line.
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

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from seed_interval import interval
from small_world import LENGTH, SPECIAL, SYMBOLS, SmallWorld
from torch import Tensor
from torch.nn import functional

from backstay.learn import PpoSettings, RewardSettings
from backstay.learn.batches import Dialogues
from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison
from backstay.learn.models.decoder import Decoder
from backstay.learn.reward import score_rows, train_members
from backstay.learn.rl import PolicyTrainer
from backstay.learn.rl.scorers import Scorer
from backstay.learn.scalar_models import RewardMember, normalise
from backstay.storage import RunFolder

COMPARISONS, FLIPPED, MEMBERS = 1000, 0.25, 5
UPDATES, EPISODES, FRESH, SMOOTH = 160, 64, 1024, 7
CHANNELS, WIDTH, DIRECTIONS, UNITS, WAVELENGTH = 128, 2, 4, 64, 4 * math.pi

WORLD: dict[str, Any] = {
    "updates": UPDATES,
    "episodes": EPISODES,
    "micro_batch": EPISODES,
    "max_new_tokens": LENGTH,
    "temperature": 1.0,
    "no_eos_penalty": 0.0,
    "learning_rate": 1e-3,
    "value_learning_rate": 3e-3,
    "checkpoint_every": 100_000,
}
"""What the small world asks for: its length, its size, and that responses never end by themselves."""
FREE: dict[str, Any] = {
    "kl_coefficient": 0.0,
    "kl_target": 0.0,
    "kl_budget": 0.0,
    "on_alarm": "warn",
    "combine": "mean",
}
"""No safeguard acts; the alarm only tells when it would have."""


@dataclass(frozen=True)
class Condition:
    """Which reward models, what differs from the trainer's defaults, and whether the alarm sees gold."""

    reward: str
    changes: dict[str, Any]
    sees_gold: bool = True


CONDITIONS = {
    "one model": Condition("single", FREE),
    "mean of 5": Condition("ensemble", FREE),
    "worst of 5 (WCO)": Condition("ensemble", FREE | {"combine": "worst"}),
    "UWO of 5": Condition("ensemble", FREE | {"combine": "uwo"}),
    "one model, PAR": Condition("single", FREE | {"shaping": "par"}),
    "one model, KL budget 8": Condition("single", FREE | {"kl_budget": 8.0}),
    "defaults, gold watched": Condition("ensemble", {}),
    "defaults, no gold": Condition("ensemble", {}, sees_gold=False),
    "defaults, a member held out": Condition("ensemble", {"held_out_members": 1}, sees_gold=False),
}
SHOWN = ("one model", "mean of 5", "UWO of 5", "defaults, gold watched")


class Gold:
    """A random network over response tokens: convolution, mean over positions, a hidden layer; mean 0 and deviation 1.

    The hidden units are cosines of a few directions of the pooled channels, with wavelengths well above what the base
    policy's responses span: there gold is nearly linear, and far away it turns. Moments are taken of `standard`.
    """

    def __init__(self, standard: Sequence[Sequence[int]], generator: torch.Generator) -> None:
        self.embedding = torch.randn(SYMBOLS + len(SPECIAL), 8, generator=generator)
        self.filters = torch.randn(CHANNELS, 8, WIDTH, generator=generator) / math.sqrt(8 * WIDTH)
        directions = torch.randn(CHANNELS, DIRECTIONS, generator=generator)
        pooled = self._pooled(standard) @ directions
        self.directions = directions / pooled.std(0)
        self.centre = pooled.mean(0) / pooled.std(0)
        self.waves = torch.randn(DIRECTIONS, UNITS, generator=generator) * 2 * math.pi / WAVELENGTH
        self.phases = 2 * math.pi * torch.rand(UNITS, generator=generator)
        self.weights = torch.randn(UNITS, generator=generator)
        self.mean, self.deviation = 0.0, 1.0
        raw = self(standard)
        self.mean, self.deviation = float(raw.mean()), float(raw.std())

    def __call__(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        along = self._pooled(tokens) @ self.directions - self.centre
        return (torch.cos(along @ self.waves + self.phases) @ self.weights - self.mean) / self.deviation

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        padded = torch.zeros(len(tokens), LENGTH, dtype=torch.long)
        for row, found in enumerate(tokens):
            padded[row, : len(found)] = torch.tensor(found)
        return torch.tanh(functional.conv1d(self.embedding[padded].transpose(1, 2), self.filters)).mean(2)


class Lab(SmallWorld):
    """One seed's world with a gold reward, and the reward models that a condition may ask for."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(seed, folder)
        self.gold = Gold(self.play((self.reference,), FRESH, seed=1)[1], self.generator)
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
        models = {"ensemble": self.members, "single": self.single}[condition.reward]
        watched = Watched(models[0], self.gold)
        folder = RunFolder(self.folder / name.replace(" ", "-"))
        trainer = PolicyTrainer(
            self.model,
            self.prompts,
            reference=(self.reference,),
            members=[watched, *models[1:]],
            references=self._references(models),
            shape=self.shape,
            settings=PpoSettings(**(WORLD | condition.changes), seed=self.seed),
            folder=folder,
            gold=(lambda _, text, __: float(self.gold([self.model.encode(text)]))) if condition.sees_gold else None,
        )
        result = trainer.run()
        rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
        _, fresh = self.play((self.reference, result.policy), FRESH, seed=99)
        return {
            "condition": name,
            "seed": self.seed,
            "gold": watched.seen,
            "proxy": [row["reward_raw_mean"] for row in rows],
            "kl": [row["kl_nats"] for row in rows],
            "final": float(self.gold(fresh).mean()),
            "reason": result.reason,
            "alarm": next((row["update"] for row in rows if row.get("alarm")), None),
            "why": next((row["alarm"] for row in rows if row.get("alarm")), ""),
            "kl_nats": result.kl_nats,
            "accuracy": self.accuracy,
        }

    def _references(self, members: Sequence[RewardMember]) -> list[list[list[float]]]:
        """Every member's scores of four responses of the reference to every prompt."""
        prompts, responses = self.play((self.reference,), 4 * len(self.prompts), seed=3)
        rows = BranchStates(self.model, prompts, responses, range(len(prompts)))
        scores = score_rows(rows, members, range(len(rows))).T.tolist()
        return [scores[i :: len(self.prompts)] for i in range(len(self.prompts))]


class Watched:
    """A reward model, and the mean gold of every round that it was asked about."""

    def __init__(self, scorer: Scorer, gold: Gold) -> None:
        self.scorer, self.gold = scorer, gold
        self.seen: list[float] = []

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        self.seen.append(float(self.gold(dialogues.responses_B_R.tolist()).mean()))
        return self.scorer(decoder, dialogues, branch_B_T_D)


def world(job: tuple[int, tuple[str, ...]]) -> list[dict[str, Any]]:
    seed, names = job
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="backstay-lab-") as folder:
        lab = Lab(seed, Path(folder))
        return [lab.run(name) for name in names]


def smooth(values: Sequence[float]) -> np.ndarray:
    """Running mean; element i is over rounds i to i + 6."""
    return (
        np.convolve(values, np.ones(SMOOTH) / SMOOTH, "valid") if len(values) >= SMOOTH else np.array([np.mean(values)])
    )


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """Peak, final, and the share of the peak that was lost, in the end and at the alarm (0 before the peak)."""
    curve = smooth(row["gold"])
    peak, at = float(curve.max()), int(curve.argmax())
    lost_at_alarm = None
    if row["alarm"] is not None:
        seen = min(max(row["alarm"] - SMOOTH // 2, 0), len(curve) - 1)
        lost_at_alarm = max(0.0, 1 - float(curve[seen]) / peak) if seen > at else 0.0
    fell = float(curve[at:].min()) < 0.9 * peak
    return {
        "peak": peak,
        "final": row["final"],
        "retained": row["final"] / peak,
        "lost_at_alarm": lost_at_alarm,
        "alarm": row["alarm"],
        "kl_nats": row["kl_nats"],
        "fell": fell,
    }


def summary(found: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    rows = [figures(row) for row in found if row["condition"] == name]
    alarms = [row["lost_at_alarm"] for row in rows if row["lost_at_alarm"] is not None]
    return {
        **{key: interval([row[key] for row in rows]) for key in ("peak", "final", "kl_nats")},
        "retained": [round(row["retained"], 3) for row in rows],
        "fell": sum(row["fell"] for row in rows),
        "alarms": len(alarms),
        "silent_falls": sum(row["fell"] and row["lost_at_alarm"] is None for row in rows),
        "lost_at_alarm": [round(x, 3) for x in alarms],
        "reasons": [row["reason"] for row in found if row["condition"] == name],
    }


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Gold and proxy over rounds of training: one line a seed, the same scale everywhere."""
    mpl.rcParams["svg.hashsalt"] = "backstay"
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    panels = figure.subplots(1, len(SHOWN), sharex=True, sharey=True)
    for panel, name in zip(panels, SHOWN, strict=True):
        for row in (row for row in found if row["condition"] == name):
            panel.plot(smooth(row["proxy"]), color="#b5651d", alpha=0.5, linewidth=1)
            panel.plot(smooth(row["gold"]), color="#1f4e79", alpha=0.8, linewidth=1.4)
            if row["alarm"] is not None:
                panel.axvline(row["alarm"] - SMOOTH // 2, color="#888888", linewidth=0.8, linestyle=":")
        panel.axhline(0, color="black", linewidth=0.5)
        panel.set(title=name, xlabel="round")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("deviations under the base policy")
    lines = [Line2D([], [], color=color) for color in ("#1f4e79", "#b5651d")]
    dots = Line2D([], [], color="#888888", linestyle=":")
    figure.legend([*lines, dots], ["gold", "proxy", "alarm"], loc="outside right center", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CONDITIONS), choices=list(CONDITIONS))
    parser.add_argument("--figure", type=Path, help="where to draw")
    parser.add_argument("--raw", type=Path, help="where to keep every curve as JSON")
    options = parser.parse_args()
    started = time.perf_counter()
    jobs = [(seed, tuple(options.only)) for seed in range(options.seeds)]
    with multiprocessing.get_context("spawn").Pool(min(2, len(jobs))) as pool:
        found = [row for rows in pool.map(world, jobs, chunksize=1) for row in rows]
    if options.raw:
        options.raw.write_text(json.dumps(found))
    if options.figure:
        draw(found, options.figure)
    accuracy = {name: interval([row["accuracy"][name] for row in found]) for name in found[0]["accuracy"]}
    result = {
        "benchmark": "overoptimisation",
        "seeds": options.seeds,
        "reward_accuracy": accuracy,
        "conditions": {name: summary(found, name) for name in options.only},
        "wall_s": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
