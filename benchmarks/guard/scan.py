"""CPU time of the secrets scan on distinct and on adversarial texts. One JSON line.

python benchmarks/guard/scan.py [--texts N] [--seed S]
"""

import argparse
import base64
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from hostile_texts import prose
from made_secrets import made

from backstay.scan.secrets import scan_secrets, secret_rules


def cost_ms(text: str) -> float:
    begin = time.thread_time_ns()
    scan_secrets(text)
    return (time.thread_time_ns() - begin) / 1e6


def ordinary(rng: random.Random, length: int) -> str:
    """Prose, code and JSON with a secret in every second text."""
    text = prose(rng, length)
    if rng.random() < 0.25:
        text = json.dumps({f"key{i}": text[i : i + 40] for i in range(0, length, 50)})[:length]
    place = rng.randrange(len(text))
    return text[:place] + (" " + made(rng.choice(secret_rules()), rng) + " ") * (rng.random() < 0.5) + text[place:]


def adversarial(rng: random.Random, size: int) -> dict[str, str]:
    gates = sorted({rule.gate.decode() for rule in secret_rules()})
    fill: dict[str, Callable[[], str]] = {
        "random_base64": lambda: base64.b64encode(rng.randbytes(size)).decode(),
        "base64_of_gates": lambda: base64.b64encode(" ".join(rng.choices(gates, k=size // 8)).encode()).decode(),
        "keywords": lambda: " ".join(rng.choices(gates, k=size // 6)),
        "keywords_joined": lambda: "".join(rng.choices(gates, k=size // 5)),
        "one_letter": lambda: "a" * size,
        "hex": lambda: "0123456789abcdef" * (size // 16),
        "dots": lambda: "Maaaaaaaaaaaaaaaaaaaaaaa." * (size // 25),
        "invisible": lambda: "a\u200b" * (size // 2),
        "accents": lambda: "é\u0301" * (size // 2),
        "percent": lambda: "%41" * (size // 3),
        "jwt": lambda: "eyJ" + "eyJ0-" * (size // 5),
        "jwt_dots": lambda: "eyJ0eyJ0eyJ0eyJ0.eyJ-" * (size // 21),
        "assignments": lambda: "password=" * (size // 9),
        "assigned_words": lambda: "token=aaaaaaaaaaa1 " * (size // 19),
        "begin": lambda: "-----BEGIN " * (size // 11),
        "keys": lambda: "-----BEGIN RSA PRIVATE KEY-----" * (size // 31),
        "urls": lambda: "://a:b" * (size // 6),
    }
    made_up = {name: make()[:size] for name, make in fill.items()}
    stuffed = {f"only {gate}": (gate + " ") * (size // (len(gate) + 1)) for gate in gates}
    return {**made_up, **stuffed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)  # noqa: S311 - made-up texts
    scan_secrets("warm é")
    small = sorted(cost_ms(ordinary(rng, 2000)) for _ in range(args.texts))
    large = [cost_ms(ordinary(rng, 100_000)) for _ in range(7)]
    per_kb = {name: cost_ms(text) / (len(text) / 1000) for name, text in adversarial(rng, 20_000).items()}
    slowest = sorted(per_kb, key=lambda name: -per_kb[name])[:8]
    figures = {
        "ms_2kB_p50": round(statistics.median(small), 3),
        "ms_2kB_p99": round(small[int(0.99 * len(small))], 3),
        "ms_100kB_p50": round(statistics.median(large), 2),
        "ms_per_kB_worst": round(max(per_kb.values()), 3),
        "slowest": {name: round(per_kb[name], 3) for name in slowest},
        "rules": len(secret_rules()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
