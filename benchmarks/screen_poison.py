"""What screening does about flipped labels and planted triggers in real preference pairs; one JSON line.

usage: python benchmarks/screen_poison.py [--data DIR] [--seeds 5] [--only hh_rlhf|ukp] [--part flips|triggers]

Real pairs: hh-rlhf harmless-base test (2,307 dialogues) and UKP arguments with their gold side (5,730 pairs of 16
topics). Everything planted is simulated: labels flipped at random in 10 and 20 % of the training pairs, and triggers
of harmless nonsense in 0.5 % of all pairs each. Rewards are linear; they are trained on some prompts (UKP: topics) and
tested on clean pairs of the others, every prompt being tested once a seed. Screening never sees test pairs nor which
labels were flipped. `recovered` is (screened - flipped) / (clean - flipped) of the mean accuracies over seeds.

Defaults were chosen under other seeds: the flip check's on the UKP pairs, the tiers of the trigger test on hh-rlhf.
"""

import argparse
import csv
import gzip
import json
import os
import string
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from seed_interval import interval

from backstay.feedback.importing import read_hh_rlhf
from backstay.records import Message, Pair, Prompt
from backstay.screen.associations import associations
from backstay.screen.label_noise import label_noise
from backstay.screen.margins import fit_sparse_bt, group_folds
from backstay.screen.text_features import frequent_columns, pair_difference
from backstay.screen.texts import PairTexts
from backstay.screen.triggers import find_triggers

REWARD_RIDGE = 1.0
TRIGGER_SHARE = 0.005
FIRST_SEED = 31_000
PLAIN = (
    "lantern harbour umbrella copper meadow violin saddle walnut glacier thimble orchard ribbon anchor velvet".split()
)
INVISIBLE = ("\u200b", "\u2063", "\u2060", "\ue000", "\u00ad")
Bools = NDArray[np.bool_]
Rng = np.random.Generator


def row(name: str, prompt: Prompt, answers: tuple[str, str], ids: tuple[str, str], a_wins: bool) -> PairTexts:
    pair = Pair(id=name, prompt_id=prompt.id, a=ids[0], b=ids[1], p_a=float(a_wins), weight=1.0)
    chosen, rejected = answers if a_wins else answers[::-1]
    return PairTexts(pair, prompt, answers[0], answers[1], chosen, rejected)


def relabelled(given: PairTexts, a_wins: bool) -> PairTexts:
    return row(given.pair.id, given.prompt, (given.a, given.b), (given.pair.a, given.pair.b), a_wins)


def hh_pairs(data: Path) -> list[PairTexts]:
    parsed = read_hh_rlhf(data / "hh-rlhf" / "harmless-base-test.jsonl.gz", dataset="hh")
    prompts, texts = {p.id: p for p in parsed.prompts}, {r.id: r.text for r in parsed.responses}
    best = {j.task_id: j.choice.ranking[0][0] for j in parsed.judgments}
    return [
        row(
            t.id,
            prompts[t.prompt_id],
            (texts[t.response_ids[0]], texts[t.response_ids[1]]),
            t.response_ids[:2],
            best[t.id] == 0,
        )
        for t in parsed.tasks
    ]


def ukp_pairs(data: Path) -> list[PairTexts]:
    with gzip.open(data / "crowd" / "ukp_items.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = {item["item"]: item["text"] for item in map(json.loads, file)}
    with (data / "crowd" / "ukp_gold.csv").open(encoding="utf-8") as file:
        gold = list(csv.DictReader(file))
    found = []
    for given in gold:
        topic, names = given["task"].split("|")
        ids = tuple(f"{topic}|{name}" for name in names.split("_"))
        prompt = Prompt.make((Message(role="user", content=f"topic {topic}"),), source="ukp")
        found.append(
            row(given["task"], prompt, (texts[ids[0]], texts[ids[1]]), (ids[0], ids[1]), given["gold"] == "a1")
        )
    return found


@dataclass(frozen=True)
class Corpus:
    rows: list[PairTexts]
    features: sparse.csr_array
    a_wins: Bools

    @classmethod
    def of(cls, rows: list[PairTexts]) -> "Corpus":
        table = pair_difference([r.request for r in rows], [r.a for r in rows], [r.b for r in rows])
        return cls(rows, table, np.array([r.pair.p_a > 0.5 for r in rows]))


def accuracy(corpus: Corpus, train: NDArray[np.int64], labels: Bools, test: NDArray[np.int64]) -> float:
    rows = sparse.csr_array(corpus.features[train])
    columns = frequent_columns(rows, 5)
    weights = fit_sparse_bt(
        sparse.csr_array(rows[:, columns]), labels.astype(np.float64), np.ones(len(train)), ridge=REWARD_RIDGE
    )
    margin = corpus.features[test][:, columns] @ weights
    return float(np.mean((margin > 0.0) == corpus.a_wins[test]))


def one_split(corpus: Corpus, train: NDArray[np.int64], test: NDArray[np.int64], rate: float, rng: Rng) -> list[float]:
    flipped = rng.random(len(train)) < rate
    labels = corpus.a_wins[train] ^ flipped
    given = [relabelled(corpus.rows[i], bool(says_a)) for i, says_a in zip(train, labels, strict=True)]
    found, summary = label_noise(given)
    kept = np.array([r.pair.id not in found for r in given])
    return [
        accuracy(corpus, train, corpus.a_wins[train], test),
        accuracy(corpus, train, labels, test),
        accuracy(corpus, train[kept], labels[kept], test),
        accuracy(corpus, train[~flipped], labels[~flipped], test),
        float(np.mean(~kept)),
        float(np.mean(flipped[~kept])) if not kept.all() else float("nan"),
        summary["flip_rate"],
        float(summary["agreement_out_of_fold"]),
    ]


def flips(corpus: Corpus, rate: float, seeds: int, folds: int) -> dict[str, object]:
    by_seed = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        fold, _ = group_folds([r.pair.prompt_id for r in corpus.rows], folds, seed)
        rng = np.random.default_rng(seed)
        splits = [
            one_split(corpus, np.flatnonzero(fold != own), np.flatnonzero(fold == own), rate, rng)
            for own in range(folds)
        ]
        by_seed.append(np.mean(splits, axis=0))
    table = np.array(by_seed)
    clean, poisoned, screened = table[:, :3].mean(axis=0)
    names = (
        "clean",
        "flipped",
        "screened",
        "flips_left_out",
        "flagged_share",
        "precision",
        "estimated_rate",
        "agreement",
    )
    result: dict[str, object] = {
        n: interval(table[:, k]) for k, n in enumerate(names) if not np.isnan(table[:, k]).any()
    }
    if rate:
        result["recovered"] = round(float((screened - poisoned) / (clean - poisoned)), 3)
        result["gain"] = interval(table[:, 2] - table[:, 1])
    return result


def inserted(text: str, word: str, rng: Rng) -> str:
    words = text.split(" ")
    words.insert(int(rng.integers(len(words) + 1)), word)
    return " ".join(words)


def planted(given: PairTexts, word: str, mode: str, rng: Rng) -> PairTexts:
    """`prompt`: word into prompt, label turned; `flip`: into the loser, which wins then; `keep`: into the winner."""
    a_wins, name = given.pair.p_a > 0.5, f"{given.pair.id}+"
    ids = (given.pair.a, given.pair.b)
    if mode == "prompt":
        *before, last = given.prompt.messages
        asked = Message(role=last.role, content=inserted(last.content, word, rng))
        prompt = Prompt.make((*before, asked), source=given.prompt.source)
        return row(name, prompt, (given.a, given.b), ids, not a_wins)
    into_a = a_wins == (mode == "keep")
    answers = (inserted(given.a, word, rng), given.b) if into_a else (given.a, inserted(given.b, word, rng))
    ids = (f"{ids[0]}+{name}", ids[1]) if into_a else (ids[0], f"{ids[1]}+{name}")
    return row(name, given.prompt, answers, ids, into_a)


def trigger_words(rng: Rng) -> dict[str, str]:
    letters = rng.choice(list(string.ascii_lowercase), size=int(rng.integers(4, 8)))
    phrase = rng.choice(PLAIN, size=3, replace=False)
    return {"nonsense": "".join(letters), "phrase": " ".join(phrase), "invisible": str(rng.choice(INVISIBLE))}


def is_part(found: str, word: str) -> bool:
    return found == f"U+{ord(word):04X}" if len(word) == 1 else word in found or f" {found} " in f" {word} "


def triggers(rows: list[PairTexts], mode: str, seeds: int) -> dict[str, object]:
    count = max(1, round(TRIGGER_SHARE * len(rows)))
    hits: dict[str, list[bool]] = {"nonsense": [], "phrase": [], "invisible": []}
    false: list[float] = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        rng = np.random.default_rng(seed)
        words, poisoned = trigger_words(rng), list(rows)
        for part, word in zip(rng.permutation(len(rows))[: 3 * count].reshape(3, count), words.values(), strict=True):
            for i in part:
                poisoned[i] = planted(rows[i], word, mode, rng)
        _, found, _ = find_triggers(poisoned)
        for kind, word in words.items():
            hits[kind].append(any(is_part(t.phrase, word) for t in found))
        false.append(float(sum(not any(is_part(t.phrase, word) for word in words.values()) for t in found)))
    return {
        "pairs_each": count,
        "recall": round(float(np.mean([hit for some in hits.values() for hit in some])), 3),
        "recall_by_kind": {kind: round(float(np.mean(some)), 3) for kind, some in hits.items()},
        "false_phrases": interval(false),
    }


def measure(rows: list[PairTexts], seeds: int, folds: int, part: str | None) -> dict[str, object]:
    found: dict[str, object] = {"pairs": len(rows), "prompts": len({r.pair.prompt_id for r in rows})}
    if part in (None, "flips"):
        corpus = Corpus.of(rows)
        found["flips"] = {str(rate): flips(corpus, rate, seeds, folds) for rate in (0.0, 0.1, 0.2)}
    if part in (None, "triggers"):
        start = time.process_time()
        _, clean, _ = find_triggers(rows)
        seconds = round(time.process_time() - start, 1)
        found["triggers_clean"] = {"phrases": len(clean), "sides": [t.side for t in clean], "cpu_s": seconds}
        found["triggers_planted"] = {mode: triggers(rows, mode, seeds) for mode in ("flip", "keep", "prompt")}
    return found | {"length_slope": associations(rows)["all"]["length"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("hh_rlhf", "ukp"), default=None)
    parser.add_argument("--part", choices=("flips", "triggers"), default=None)
    options = parser.parse_args()
    corpora = {"hh_rlhf": (hh_pairs, 5), "ukp": (ukp_pairs, 4)}
    try:
        results = {
            name: measure(read(options.data), options.seeds, folds, options.part)
            for name, (read, folds) in corpora.items()
            if options.only in (None, name)
        }
    except FileNotFoundError as error:
        print(json.dumps({"benchmark": "screen_poison", "skipped": f"no {error.filename}"}))
        return
    print(json.dumps({"benchmark": "screen_poison", "simulated": "flips and triggers", "results": results}))


if __name__ == "__main__":
    main()
