"""A reward and a cost that pull apart: does the constraint hold, and is anything gained over fixed mixtures?

    python benchmarks/lagrangian.py --seeds 5

In the small world a third of the words is spicy. With x the share of spicy words in a response, the reward is
2 sqrt(x) and the cost is x: without a constraint a policy ends near x = 1. PPO-Lagrangian is given three thresholds of
mean cost; plain PPO gets reward - mu cost for four fixed mu. Both are measured on 2,048 fresh responses. The gain is
the constrained policy's reward less what the mixtures reach at its cost, by linear interpolation between them. Prints
one JSON line.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from seed_interval import interval
from small_world import LENGTH, SPECIAL, SYMBOLS, SmallWorld
from torch import Tensor

from backstay.learn import PpoSettings
from backstay.learn.batches import Dialogues
from backstay.learn.models.decoder import Decoder
from backstay.learn.rl import PolicyTrainer
from backstay.storage import RunFolder

THRESHOLDS = (0.2, 0.4, 0.6)
MIXTURES = (0.0, 1.0, 1.5, 2.5)
SPICY = SYMBOLS // 3
UPDATES, EPISODES, FRESH = 150, 128, 2048
TOLERANCE = 0.05


def is_spicy(token: int) -> bool:
    return len(SPECIAL) <= token < len(SPECIAL) + SPICY


def spicy(dialogues: Dialogues) -> Tensor:
    """Share of spicy words in each response."""
    mask = dialogues.response_mask_B_R
    hot = (dialogues.responses_B_R >= len(SPECIAL)) & (dialogues.responses_B_R < len(SPECIAL) + SPICY)
    return (hot & mask).sum(1) / mask.sum(1)


def cost(_decoder: Decoder, dialogues: Dialogues, _branch_B_T_D: Tensor) -> Tensor:
    return spicy(dialogues)


class Mixture:
    """2 sqrt(x) - mu x."""

    def __init__(self, mu: float) -> None:
        self.mu = mu

    def __call__(self, _decoder: Decoder, dialogues: Dialogues, _branch_B_T_D: Tensor) -> Tensor:
        x = spicy(dialogues)
        return 2 * x.sqrt() - self.mu * x


def train(world: SmallWorld, name: str, mu: float, threshold: float | None) -> tuple[float, float]:
    """Mean cost and mean reward of fresh responses of the trained policy."""
    settings = PpoSettings(
        updates=UPDATES,
        episodes=EPISODES,
        minibatches=4,
        micro_batch=EPISODES // 4,
        max_new_tokens=LENGTH,
        temperature=1.0,
        no_eos_penalty=0.0,
        reward_clip=0.0,
        learning_rate=1e-3,
        value_learning_rate=3e-3,
        kl_coefficient=0.005,
        kl_target=0.0,
        kl_budget=0.0,
        on_alarm="warn",
        cost_threshold=threshold,
        multiplier_gain=5.0,
        cost_window=2 * EPISODES,
        decay="linear",
        multiplier_max=20.0,
        checkpoint_every=100_000,
        seed=world.seed,
    )
    trainer = PolicyTrainer(
        world.model,
        world.prompts,
        reference=(world.reference,),
        members=[Mixture(mu)],
        costs=[cost],
        shape=world.shape,
        settings=settings,
        folder=RunFolder(world.folder / name),
    )
    policy = trainer.run().policy
    _, responses = world.play((world.reference, policy), FRESH, seed=99)
    x = np.array([np.mean([is_spicy(token) for token in response]) for response in responses])
    return float(x.mean()), float((2 * np.sqrt(x)).mean())


def frontier(seed: int) -> dict[str, Any]:
    """All policies of one seed."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="backstay-lagrangian-") as folder:
        world = SmallWorld(seed, Path(folder))
        mixed = [train(world, f"mu-{mu}", mu, None) for mu in MIXTURES]
        bound = [train(world, f"threshold-{bound_at}", 0.0, bound_at) for bound_at in THRESHOLDS]
    costs, rewards = zip(*sorted(mixed), strict=True)
    return {
        "mixtures": mixed,
        "bound": bound,
        "excess": [(found - wanted) / wanted for (found, _), wanted in zip(bound, THRESHOLDS, strict=True)],
        "gain": [reward - float(np.interp(found, costs, rewards)) for found, reward in bound],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(min(2, options.seeds)) as pool:
        found = pool.map(frontier, range(options.seeds))
    excess = [[row["excess"][i] for row in found] for i in range(len(THRESHOLDS))]
    result = {
        "benchmark": "lagrangian",
        "seeds": options.seeds,
        "thresholds": list(THRESHOLDS),
        "cost": [interval([row["bound"][i][0] for row in found]) for i in range(len(THRESHOLDS))],
        "worst_relative_miss": [round(max(abs(x) for x in row), 4) for row in excess],
        "held": [sum(abs(x) <= TOLERANCE for x in row) for row in excess],
        "reward": [interval([row["bound"][i][1] for row in found]) for i in range(len(THRESHOLDS))],
        "gain_over_mixtures": [interval([row["gain"][i] for row in found]) for i in range(len(THRESHOLDS))],
        "mixtures": [
            [interval([row["mixtures"][i][side] for row in found])[0] for side in (0, 1)] for i in range(len(MIXTURES))
        ],
        "wall_s": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
