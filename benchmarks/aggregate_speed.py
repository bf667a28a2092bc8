"""Time and memory of aggregation on simulated votes, and crowd-kit's Dawid-Skene on the same votes; one JSON line.

usage: python benchmarks/aggregate_speed.py [--sizes 1e6 1e7] [--huge] [--peer-venv DIR] [--peer-sizes 1e5 1e6]

Simulated: five votes an item by raters of very different diligence (200 votes on average), accuracy Beta(8, 2), four
responses a prompt, 5 % gold. Every part runs in a process of its own, so that its peak memory is its own; kernels are
compiled before the clock starts. core = reliability without collusion, its coupling of pairs on; alone = without the
coupling too, which is what Dawid-Skene does; full = with collusion. --huge adds the core at 1e8 votes, read from a
Parquet file.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backstay.aggregate import AggregateSettings, VoteColumns, fit_columns
from backstay.aggregate.column_files import read_columns, write_columns
from backstay.aggregate.column_growth import NewVotes
from backstay.aggregate.incremental import FitState, update

PER_ITEM = 5
BLOCK = 500_000
PAIRS = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
SETTINGS = {
    "core": AggregateSettings(collusion=False),
    "alone": AggregateSettings(collusion=False, coupling=0.0),
    "full": AggregateSettings(),
}
NEW = 1000
PEER = """
import json, sys, time
import numpy as np, pandas as pd
from crowdkit.aggregation import DawidSkene
votes = np.load(sys.argv[1])
texts = sys.argv[2] == "texts"
ids = {"task": [f"item-{i}" for i in votes["item"]], "worker": [f"rater-{r}" for r in votes["rater"]]}
frame = pd.DataFrame(ids if texts else {"task": votes["item"], "worker": votes["rater"]}).assign(label=votes["side"])
wall, cpu = time.perf_counter(), time.process_time()
model = DawidSkene(n_iter=100)
labels = model.fit_predict(frame)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
place = np.array([int(str(name).removeprefix("item-")) for name in labels.index])
right = float((labels.to_numpy() == votes["truth"][place]).mean())
print(json.dumps({"wall_s": wall, "cpu_s": cpu, "accuracy": right, "iterations": len(model.loss_history_)}))
"""


def simulate(votes: int, seed: int = 0) -> tuple[VoteColumns, np.ndarray]:
    """About so many votes, and the truth of each item; made in blocks to stay small."""
    rng = np.random.default_rng(seed)
    items, raters = votes // PER_ITEM, max(50, votes // 200)
    diligence = np.cumsum(rng.gamma(1.0, 1.0, raters) + 0.05)
    skill = rng.beta(8.0, 2.0, raters).astype(np.float32)
    truth = (2 * rng.integers(0, 2, items) - 1).astype(np.int8)
    parts = [block(rng, truth[k : k + BLOCK], diligence, skill) for k in range(0, items, BLOCK)]
    sizes, rater, side, shown = (np.concatenate(column) for column in zip(*parts, strict=True))
    prompt, pair = np.divmod(np.arange(items), 6)
    gold = np.where(rng.random(items) < 0.05, truth, 0).astype(np.int8)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ends = (4 * prompt + PAIRS[pair].T).astype(np.int32)
    share = np.ones(rater.size, dtype=np.float32)
    return VoteColumns(start, rater, side, shown, share, ends[0], ends[1], gold, raters, int(ends.max()) + 1), truth


def block(rng: np.random.Generator, truth: np.ndarray, diligence: np.ndarray, skill: np.ndarray) -> tuple[Any, ...]:
    """Votes on a block of items: how many of each, raters, sides, orders."""
    drawn = np.searchsorted(diligence, rng.random((truth.size, PER_ITEM)) * diligence[-1]).astype(np.int32)
    once = np.ones(drawn.shape, dtype=np.bool_)
    for k in range(1, PER_ITEM):
        once[:, k] = (drawn[:, :k] != drawn[:, k : k + 1]).all(axis=1)
    right = rng.random(drawn.shape, dtype=np.float32) < skill[drawn]
    side = np.where(right, truth[:, None], -truth[:, None])
    shown = (2 * rng.integers(0, 2, drawn.shape, dtype=np.int8) - 1).astype(np.int8)
    return once.sum(axis=1), drawn[once], side[once], shown[once]


def timed(work: Any) -> tuple[Any, dict[str, float]]:
    """What it returns, and its seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def measure_fit(name: str, columns: VoteColumns, truth: np.ndarray) -> dict[str, float]:
    """One fit."""
    fit, spent = timed(partial(fit_columns, columns, SETTINGS[name]))
    right = float(((fit.log_odds > 0) == (truth > 0)).mean())
    return spent | {"accuracy": right, "sweeps": fit.iterations, "votes": columns.n_votes}


def measure_update(columns: VoteColumns) -> dict[str, float]:
    """A thousand new votes on old items; the largest difference in a probability from the fit of everything."""
    rng = np.random.default_rng(1)
    out = np.zeros(columns.n_votes, dtype=np.bool_)
    out[rng.choice(columns.n_votes, NEW, replace=False)] = True
    count = np.bincount(columns.item[~out], minlength=columns.n_items)
    base = columns._replace(
        start=np.concatenate([[0], np.cumsum(count)]).astype(np.int64), rater=columns.rater[~out],
        side=columns.side[~out], shown=columns.shown[~out], share=columns.share[~out],
    )  # fmt: skip
    settings = SETTINGS["alone"]
    state = FitState.of(base, fit_columns(base, settings), settings)
    new = NewVotes.on(base, columns.item[out], columns.rater[out].astype(np.int64), columns.side[out],
                      shown=columns.shown[out])  # fmt: skip
    done, spent = timed(partial(update, state, new))
    full = fit_columns(columns, settings)
    apart = np.abs(probability(done.state.fit.log_odds) - probability(full.log_odds))
    return spent | {"swept": done.swept, "largest_difference": float(apart.max()), "votes": columns.n_votes}


def probability(log_odds: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-log_odds))


def part(name: str, size: int, file: Path) -> dict[str, float]:
    """One measurement, in this process."""
    small, small_truth = simulate(4000)
    if name in SETTINGS:
        measure_fit(name, small, small_truth)
        found = measure_fit(name, *simulate(size))
    elif name == "update":
        measure_update(small)
        found = measure_update(simulate(size)[0])
    elif name == "write":
        columns, truth = simulate(size)
        _, found = timed(partial(write_columns, file, columns))
        np.save(file.with_suffix(".npy"), truth)
    else:
        warm = file.with_name("warm.parquet")
        write_columns(warm, small)
        measure_fit("core", read_columns(warm).columns, small_truth)
        read, spent = timed(partial(read_columns, file))
        found = measure_fit("core", read.columns, np.load(file.with_suffix(".npy")))
        found |= {f"read_{key}": value for key, value in spent.items()}
    return found | {"peak_rss_gb": peak_rss_gb()}


def peak_rss_gb() -> float:
    """Of this process alone: `getrusage` hands down the peak of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def alone(name: str, size: float, file: Path = Path()) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--size", str(int(size)), "--file", str(file)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {key: round(value, 4) for key, value in json.loads(printed.splitlines()[-1]).items()}


def against_peer(venv: Path, size: float, folder: Path) -> dict[str, Any]:
    """crowd-kit's Dawid-Skene and ours on the same votes, one after the other; ids as numbers and as texts.

    With texts ours is timed from the Parquet file on, because numbering them is half of the work.
    """
    columns, truth = simulate(int(size))
    np.savez(folder / "votes.npz", item=columns.item, rater=columns.rater, side=columns.side, truth=truth)
    write_texts(folder / "texts.parquet", columns)
    np.save(folder / "texts.npy", truth)
    found: dict[str, Any] = {name: alone(name, size) for name in ("alone", "core")}
    found["read_texts_and_core"] = alone("file", size, folder / "texts.parquet")
    for ids, ours in (("numbers", ("alone", "core")), ("texts", ("read_texts_and_core",))):
        command = [venv / "bin" / "python", "-c", PEER, folder / "votes.npz", ids]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        theirs = {key: round(value, 4) for key, value in json.loads(printed.splitlines()[-1]).items()}
        found[f"crowd_kit_{ids}"] = theirs
        for name in ours:
            spent = found[name]["cpu_s"] + found[name].get("read_cpu_s", 0.0)
            found[f"{name}_times_faster_cpu"] = round(theirs["cpu_s"] / spent, 1)
    return found


def write_texts(file: Path, columns: VoteColumns) -> None:
    """The votes with ids as texts."""
    names = {"item": [f"item-{i}" for i in columns.item], "rater": [f"rater-{r}" for r in columns.rater]}
    sides = {"side": columns.side, "shown": columns.shown}
    ends = {end: columns._asdict()[end][columns.item] for end in ("a", "b")}
    pq.write_table(pa.table(names | sides | ends | {"gold": columns.gold[columns.item]}), file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="*", default=[1e6, 1e7])
    parser.add_argument("--full-size", type=float, default=1e6)
    parser.add_argument(
        "--huge", action="store_true", help="the core at 1e8 votes too: minutes, and several GB of disk"
    )
    parser.add_argument("--peer-venv", type=Path, help="virtual environment with crowd-kit 1.4")
    parser.add_argument("--peer-sizes", type=float, nargs="*", default=[1e5, 1e6])
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, default=Path(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(options.part, options.size, options.file)))
        return
    results: dict[str, Any] = {
        f"{name}-{size:.0e}": alone(name, size) for size in options.sizes for name in ("core", "alone", "update")
    }
    results[f"full-{options.full_size:.0e}"] = alone("full", options.full_size)
    with tempfile.TemporaryDirectory() as folder:
        if options.huge:
            file = Path(folder) / "votes.parquet"
            results["write-1e+08"] = alone("write", 1e8, file) | {"file_gb": round(file.stat().st_size / 2**30, 3)}
            results["file_and_core-1e+08"] = alone("file", 1e8, file)
        if options.peer_venv:
            for size in options.peer_sizes:
                results[f"peer-{size:.0e}"] = against_peer(options.peer_venv, size, Path(folder))
    print(json.dumps({"benchmark": "aggregate_speed", "new_votes": NEW, "results": results}))


if __name__ == "__main__":
    main()
