"""The streaming core: leaked bytes over random splits, CPU per token, characters held back. One JSON line.

python benchmarks/guard/stream.py [--pack default|secrets] [--splits N] [--seconds S] [--seed S]

A leak is a character of a finding that was released, or any difference from the redaction of the whole. Texts are made
up: prose, secrets made from the rules' shapes, invisible and look-alike characters inside them.
"""

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from hostile_texts import PROSE, prose, tricky_text

from backstay.guard import Redaction, TextStream, redact
from backstay.scan import default_pack
from backstay.scan.rule_pack import RulePack
from backstay.scan.secrets import secret_pack

PACKS = {"default": default_pack, "secrets": secret_pack}


def pieces(text: str, rng: random.Random) -> list[str]:
    cuts = sorted(rng.randint(0, len(text)) for _ in range(rng.choice([1, 3, 10, len(text)])))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def leaks(splits: int, seconds: float, rng: random.Random, pack: RulePack) -> tuple[int, int, int]:
    """Splits done, characters that differ from the whole's redaction, findings in all texts."""
    redactions = [Redaction(pack), Redaction(pack, deny=frozenset({"jwt", "private_key", "email"}))]
    done = wrong = found = 0
    end = time.monotonic() + seconds
    while done < splits and time.monotonic() < end:
        text, rules = tricky_text(rng, pack.rules), rng.choice(redactions)
        whole, decision = redact(text, rules)
        found += len(decision.spans)
        for _ in range(8):
            stream = TextStream(rules)
            got = "".join(stream.feed(piece) for piece in pieces(text, rng)) + stream.finish()
            wrong += 0 if got == whole else max(len(got), len(whole))
            done += 1
    return done, wrong, found


def flow(rng: random.Random, pack: RulePack, texts: int = 60) -> tuple[list[float], list[int]]:
    """CPU microseconds per token of each text, and characters held after each token."""
    costs, held = [], []
    for _ in range(texts):
        text, stream = prose(rng, 2000), TextStream(Redaction(pack))
        tokens = [text[i : i + 4] for i in range(0, len(text), 4)]
        begin = time.thread_time_ns()
        for token in tokens:
            stream.feed(token)
        costs.append((time.thread_time_ns() - begin) / 1000 / len(tokens))
        again = TextStream(Redaction(pack))
        for token in tokens:
            again.feed(token)
            held.append(again.held)
    return costs, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pack", choices=sorted(PACKS), default="default")
    args = parser.parse_args()
    pack = PACKS[args.pack]()
    rng = random.Random(args.seed)  # noqa: S311 - made-up texts
    redact(PROSE, Redaction(pack))
    costs, held = flow(rng, pack)
    done, wrong, found = leaks(args.splits, args.seconds, rng, pack)
    figures = {
        "splits": done,
        "leaked_characters": wrong,
        "findings_in_texts": found,
        "us_per_token_p50": round(statistics.median(costs), 1),
        "us_per_token_max_of_texts": round(max(costs), 1),
        "held_median": statistics.median(held),
        "held_p99": sorted(held)[int(0.99 * len(held))],
        "pack": args.pack,
        "rules": len(pack.rules),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
