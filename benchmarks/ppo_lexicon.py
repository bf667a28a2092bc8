"""PPO alone, against a reward that is a plain function of the text: how far, how fast, at what drift.

    python benchmarks/ppo_lexicon.py --updates 8

The task is that of a plain prototype on the same model (48 episodes x 16 tokens an update, 2 epochs x 2 minibatches,
LoRA of rank 16 on the top ten layers): distinct positive less distinct negative words, divided by three. The prototype
needed 190 CPU-seconds for 8 updates (0.08 -> 0.33, 2.9 nats) and 500 for 20 (0.55, 5.4 nats). Prints one JSON line.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path

import torch

from backstay.learn import ModelSettings, PpoSettings
from backstay.learn.batches import Dialogues
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.rl import PolicyTrainer
from backstay.records import Message, Prompt
from backstay.storage import RunFolder

POSITIVE = frozenset(
    """
    amazing beautiful best bright calm charming cheerful comfortable delightful easy elegant excellent
    exciting fantastic fresh friendly fun good great happy healthy helpful joy kind lively love lovely nice
    peaceful perfect pleasant popular positive pretty relaxing rich safe smooth soft strong stunning success
    sweet unique vibrant warm wonderful
    """.split()
)
NEGATIVE = frozenset(
    """
    afraid angry awful bad boring broken cold cruel dangerous dark dead difficult dirty dull empty evil fail
    fear hard harm hate lonely lost mean negative old pain poor problem sad scary sick slow terrible tired
    ugly weak worse worst wrong
    """.split()
)
THINGS = """
    park river kitchen garden library bridge train school market forest beach street house bakery museum
    island village mountain lake café bicycle dog cat horse book song film chair window door boat farm field
    city hotel airport shop theatre castle church
    """.split()
REQUESTS = ("Describe a {}.", "Tell me about a {}.", "Write a line about a {}.")


def score(text: str) -> float:
    """Distinct positive less distinct negative words, divided by three."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return (len(words & POSITIVE) - len(words & NEGATIVE)) / 3


class LexiconReward:
    """A reward that reads the text and nothing else."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: torch.Tensor) -> torch.Tensor:
        rows = zip(dialogues.responses_B_R.tolist(), dialogues.response_B.tolist(), strict=True)
        return torch.tensor([score(self.model.decode(tokens[:length])) for tokens, length in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    shape = ModelSettings(system="Answer briefly.", threads=options.threads)
    model = load_model(shape)
    texts = [request.format(thing) for thing in THINGS for request in REQUESTS]
    prompts = [Prompt.make((Message(role="user", content=text),), source="benchmark") for text in texts]
    settings = PpoSettings(
        updates=options.updates,
        episodes=48,
        max_new_tokens=16,
        temperature=1.0,
        epochs=2,
        minibatches=2,
        no_eos_penalty=0.0,
        uncertainty_penalty=0.0,
        kl_coefficient=0.05,
        kl_target=0.0,
        kl_budget=0.0,
        learning_rate=1e-3,
    )
    folder = RunFolder(Path(tempfile.mkdtemp(prefix="backstay-ppo-")))
    tokens = [found for prompt in prompts if (found := model.prompt_tokens(prompt)) is not None]
    trainer = PolicyTrainer(
        model, tokens, reference=(), members=[LexiconReward(model)], shape=shape, settings=settings, folder=folder
    )
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    found = {
        "benchmark": "ppo-lexicon",
        "updates": options.updates,
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "threads": torch.get_num_threads(),
        "score": [round(row["reward_raw_mean"], 3) for row in rows],
        "kl_nats": [round(row["kl_nats"], 2) for row in rows],
    }
    print(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main()
