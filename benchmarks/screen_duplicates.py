"""How many edited copies the search for near duplicates finds, at what price; one JSON line.

usage: python benchmarks/screen_duplicates.py [--pairs 100000] [--copies 5000]

Everything is synthetic: requests of 12 and answers of 24 words drawn by Zipf's law; one background pair in ten takes
the request and one answer of another, which is no duplicate of it. Copies have each word of the answers replaced with
the stated chance, and their answers swapped half of the time. `recall` is the share of copies found; `recall_of_true`
that of copies which by brute force are as similar as the threshold demands. `false` are findings on anything else.
"""

import argparse
import json
import resource
import time

import numpy as np

from backstay.records import Message, Pair, Prompt
from backstay.screen.duplicates import find_duplicates
from backstay.screen.shingles import jaccard, shingles
from backstay.screen.texts import PairTexts

EDITS = (0.0, 0.01, 0.02, 0.05, 0.1)
THRESHOLDS = (0.9, 0.7, 0.5)
VOCABULARY = np.array([f"w{k}" for k in range(50_000)])
Texts = tuple[str, str, str]
Rng = np.random.Generator


def text(rng: Rng, size: int) -> str:
    return " ".join(VOCABULARY[rng.zipf(1.3, size) % VOCABULARY.size])


def row(name: str, texts: Texts) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=texts[0]),), source="synthetic")
    pair = Pair(id=name, prompt_id=prompt.id, a="a", b="b", p_a=0.9, weight=1.0)
    return PairTexts(pair, prompt, texts[1], texts[2], texts[1], texts[2])


def edited(given: str, share: float, rng: Rng) -> str:
    words = np.array(given.split(), dtype=object)
    changed = rng.random(words.size) < share
    words[changed] = VOCABULARY[rng.integers(VOCABULARY.size, size=int(changed.sum()))]
    return " ".join(words)


def background(rng: Rng, count: int) -> list[Texts]:
    rows: list[Texts] = []
    for k in range(count):
        if k % 10 == 9:
            request, a, _ = rows[int(rng.integers(len(rows)))]
            rows.append((request, a, text(rng, 24)))
        else:
            rows.append((text(rng, 12), text(rng, 24), text(rng, 24)))
    return rows


def truly(first: Texts, second: Texts) -> float:
    """Similarity as the check defines it, computed plainly; the requests are equal."""
    both = jaccard(shingles(first[1]) | shingles(first[2]), shingles(second[1]) | shingles(second[2]))
    ways = (second[1:], second[:0:-1])
    return max(min(both, *(jaccard(shingles(x), shingles(y)) for x, y in zip(first[1:], w, strict=True))) for w in ways)


def planted(rows: list[Texts], edit: float, copies: int, rng: Rng) -> list[tuple[Texts, float]]:
    found = []
    for k in rng.choice(len(rows), copies, replace=False):
        request, a, b = rows[k]
        answers = (edited(a, edit, rng), edited(b, edit, rng))
        copy: Texts = (request, *(answers if rng.random() < 0.5 else answers[::-1]))
        found.append((copy, truly(rows[k], copy)))
    return found


def measure(rows: list[Texts], edit: float, copies: int, rng: Rng) -> dict[str, object]:
    copied = planted(rows, edit, copies, rng)
    corpus = [row(f"a{k:08d}", texts) for k, texts in enumerate(rows)]
    corpus += [row(f"z{k:08d}", texts) for k, (texts, _) in enumerate(copied)]
    similarity = np.array([how for _, how in copied])
    result: dict[str, object] = {"similarity_mean": round(float(similarity.mean()), 3)}
    for threshold in THRESHOLDS:
        start = time.process_time()
        told = find_duplicates(corpus, threshold)
        seconds = time.process_time() - start
        hit = np.array([f"z{k:08d}" in told.findings for k in range(copies)])
        true = similarity >= threshold
        result[f"{threshold:g}"] = {
            "recall": round(float(hit.mean()), 4),
            "recall_of_true": round(float(hit[true].mean()), 4) if true.any() else None,
            "true": int(true.sum()),
            "false": len(told.findings) - int((hit & true).sum()),
            "cpu_s": round(seconds, 1),
            "compared": told.compared,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=5_000)
    options = parser.parse_args()
    rng = np.random.default_rng(61_000)
    rows = background(rng, options.pairs)
    small = rows[: options.pairs // 10]
    edits = {f"{edit:g}": measure(small, edit, options.copies // 5, rng) for edit in EDITS}
    corpus = [row(f"a{k:08d}", texts) for k, texts in enumerate(rows)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    told = find_duplicates(corpus, THRESHOLDS[0])
    speed = {
        "pairs": len(corpus),
        "cpu_s": round(time.process_time() - start, 1),
        "mb_above_the_texts": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024),
        "found": len(told.findings),
    }
    print(
        json.dumps(
            {
                "benchmark": "screen_duplicates",
                "simulated": "all texts are synthetic",
                "background_pairs": len(small),
                "copies": options.copies // 5,
                "edits": edits,
                "speed": speed,
            }
        )
    )


if __name__ == "__main__":
    main()
