"""CPU time of a scan on distinct and on adversarial texts. One JSON line.

python benchmarks/guard/scan.py [--pack default|secrets] [--texts N] [--seed S]

`default` is all that the guard looks for: secrets, personal data, images; the view of the text and what is decoded in
it. Rules are compiled when they are first needed: one text for each rule goes before those that count, and adversarial
texts are scanned four times, of which the best after the first counts.
"""

import argparse
import base64
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from hostile_texts import prose
from made_secrets import made

from backstay.scan import SecretScanner, View, default_pack
from backstay.scan.rule import Rule
from backstay.scan.secrets import secret_pack, secret_rules

PACKS = {"default": default_pack, "secrets": secret_pack}


def cost_ms(text: str, scanner: SecretScanner) -> float:
    begin = time.thread_time_ns()
    scanner.scan(View.of(text))
    return (time.thread_time_ns() - begin) / 1e6


def ordinary(rng: random.Random, length: int, rules: Sequence[Rule] | None = None) -> str:
    """Prose, code and JSON with a finding in every second text."""
    text = prose(rng, length)
    if rng.random() < 0.25:
        text = json.dumps({f"key{i}": text[i : i + 40] for i in range(0, length, 50)})[:length]
    place = rng.randrange(len(text))
    return (
        text[:place]
        + (" " + made(rng.choice(rules or secret_rules()), rng) + " ") * (rng.random() < 0.5)
        + text[place:]
    )


def numbers(rng: random.Random) -> dict[str, str]:
    """Pieces that make numbers, addresses and images to be looked at."""
    return {
        "digits": "1",
        "single_digits": "1 ",
        "cards": "4111 1111 1111 1112 ",
        "cards_joined": "4111111111111112 ",
        "valid_cards": "4111 1111 1111 1111 ",
        "at": "@",
        "a_at": "a@",
        "mail": "a@b.",
        "mails": "a@b.co ",
        "images_begun": "![",
        "images_empty": "![](",
        "images": "![x](https://e.com/ ",
        "images_closed": "![x](https://e.com/) ",
        "brackets": "![[]](",
        "definitions": "[a]: ",
        "definitions_ended": "[a]: //e.com\n",
        "tags": "<img ",
        "tags_with_url": "<img src=//e.com ",
        "tags_closed": "<img src=//e.com>",
        "plus": "+1",
        "plus_spaced": "+1 2 3 4 5 6 7 ",
        "parentheses": "(12)",
        "phones": "012 345 678 90 ",
        "phones_american": "212-736-5000 ",
        "addresses": "93.184.216.34 ",
        "octets": "1.2.3.4.",
        "colons": "ab:",
        "ipv6": "2a00:1450::",
        "ibans": "GB82 WEST 1234 5698 7654 33 ",
        "tokens": "a1 ",
        "times": "2024-01-02T03:04:05 ",
        "labels": "passport number is ",
        "born": "dob 1/2/33 ",
        "vins": "vin A",
        "phones_labelled": "tel 0-0 ",
        "uuids": "e99a18c4-28cb-38d5-f260-853678922e03 ",
        "zero_x": "0x",
        "random_tokens": " ".join("".join(rng.choices("ab12", k=9)) for _ in range(500)),
        "random_numbers": json.dumps([rng.random() for _ in range(500)]),
    }


def adversarial(rng: random.Random, size: int, rules: Sequence[Rule]) -> dict[str, str]:
    gates = sorted({rule.gate.decode() for rule in rules if rule.gate})
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
    pieces = {f"only {gate}{end}": gate + end for gate in gates for end in (" ", "1 ", ": 12345678 ")}
    pieces.update(numbers(rng))
    return {**made_up, **{name: piece * (size // len(piece) + 1) for name, piece in pieces.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pack", choices=sorted(PACKS), default="default")
    args = parser.parse_args()
    rng, scanner = random.Random(args.seed), SecretScanner(PACKS[args.pack]())  # noqa: S311 - made-up texts
    rules = scanner.pack.rules
    for rule in rules:
        cost_ms(f"warm é {made(rule, rng)}", scanner)
    small = sorted(cost_ms(ordinary(rng, 2000, rules), scanner) for _ in range(args.texts))
    large = [cost_ms(ordinary(rng, 100_000, rules), scanner) for _ in range(7)]
    hard = adversarial(rng, 10_000, rules)
    per_kb = {
        name: min([cost_ms(text, scanner) / (len(text) / 1000) for _ in range(4)][1:]) for name, text in hard.items()
    }
    slowest = sorted(per_kb, key=lambda name: -per_kb[name])[:8]
    figures = {
        "ms_2kB_p50": round(statistics.median(small), 3),
        "ms_2kB_p99": round(small[int(0.99 * len(small))], 3),
        "ms_100kB_p50": round(statistics.median(large), 2),
        "ms_per_kB_worst": round(max(per_kb.values()), 3),
        "slowest": {name: round(per_kb[name], 3) for name in slowest},
        "adversarial_texts": len(hard),
        "pack": args.pack,
        "rules": len(rules),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
