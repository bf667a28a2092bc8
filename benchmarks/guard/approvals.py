"""Random schedules of approvals, and how often they broke an invariant. One JSON line.

`--schedules N`: interleavings in one process. People, workers, an editor and a sweeper are coroutines that stop at
every await; deaths come between any two steps, at a random statement within a transaction (which is then undone), and
after a commit before its answer. The database is SQLite in a file with synchronous off. A checker that shares no code
with the package keeps account from outside (tests/support/approval_checker.py).

`--kills K`: real processes, real kill -9. Three processes ask, vote, claim, execute and report on one database with
full fsync, each is killed at a random moment, and the next three go on. Afterwards effects (a file that each effect
appends to), answers heard (another file) and the journal must agree. These count I1, I5, I7 and I13 only.

`decision_to_wake_ms` is from the call that decides to the return of a wait in the same process, with full fsync.

    python benchmarks/guard/approvals.py --schedules 2000 --seconds 100 --kills 100
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from approval_checker import Checker, can_be_seated
from approval_schedules import Schedule, audit, direct_world
from approval_world import REASON, ROLES, World, action, needs

from backstay.errors import BackstayError
from backstay.guard.approvals import Current, Identity, State, first_difference
from backstay.guard.ledger import Ledger
from backstay.storage import open_database
from backstay.storage.journal import read_entries

A_DATABASE = 1000
"""Schedules that share a database; then a fresh one, so that none gets slow."""

INVARIANTS = [f"I{n}" for n in range(1, 14)]


def interleavings(
    first: int, most: int, seconds: float, folder: Path
) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    counts, broken, examples = Counter[str](), Counter[str](), dict[str, str]()
    began_s, done = time.monotonic(), 0
    while done < most and time.monotonic() - began_s < seconds:
        world, auditor = direct_world(folder / f"{done}.db"), Checker()
        for seed in range(first + done, first + min(most, done + A_DATABASE)):
            if time.monotonic() - began_s >= seconds:
                break
            schedule = Schedule(world, seed)
            checker = schedule.run()
            counts.update(schedules=1, deaths=schedule.kills, asked=len(schedule.ids), votes=checker.votes)
            counts.update(claims=checker.claims, effects=checker.effects, glass_broken=checker.glass)
            broken.update(checker.violations)
            examples |= {name: f"seed {seed}: {why}" for name, why in checker.examples.items()}
            done += 1
        audit(world, auditor)
        broken.update(auditor.violations)
        examples |= auditor.examples
        world.close()
        (folder / f"{done}.db").unlink(missing_ok=True)
    return counts, broken, examples


def note(path: Path, *words: str) -> None:
    """Append a line and have it on the disk before going on, as an effect outside would be."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(words) + "\n").encode())
    os.fsync(descriptor)
    os.close(descriptor)


def live(folder: Path, seed: int) -> None:
    """One process: asks, votes, claims, executes, reports, until it is killed."""
    dice = random.Random(seed)  # noqa: S311  chances of a test
    with Ledger.open(folder / "guard.db", keys_dir=folder / "keys", busy_timeout_s=30) as ledger:
        world = World(folder / "guard.db", ledger=ledger)
        world.now_s = time.time()
        while True:
            try:
                step(world, dice, folder, seed)
            except BackstayError:
                continue


def step(world: World, dice: random.Random, folder: Path, seed: int) -> None:
    approvals = world.approvals
    pending, approved = approvals.list(), approvals.list((State.APPROVED,))
    if len(pending) < 3:
        key = f"{seed}-{dice.random()}"
        made = approvals.ask(action({"amount": dice.randrange(100)}, needs((2, "finance")), key=key))
        note(folder / "heard", "asked", made.id)
    elif approved and dice.random() < 0.7:
        chosen = dice.choice(approved)
        current = Current("hold", action(dict(chosen.content["args"]), needs((2, "finance"))))
        claim = approvals.claim(chosen.id, chosen.digest, current, f"w{seed}", 60.0)
        note(folder / "effects", chosen.id)
        approvals.finish(claim.token, "executed")
        note(folder / "heard", "executed", chosen.id)
    else:
        chosen, who = dice.choice(pending), dice.choice(["alice", "bob", "dave", "rita", "carol"])
        key = f"{chosen.id}/{who}"
        approvals.decide(chosen.id, Identity(who, "token"), "approve", chosen.digest, REASON, key)
        note(folder / "heard", "voted", chosen.id, who)


def kills(count: int, folder: Path, seed: int) -> tuple[Counter[str], Counter[str]]:
    dice, counts = random.Random(seed), Counter[str]()  # noqa: S311  chances of a test
    open_database(folder / "guard.db", create=True).dispose()
    for number in range(count):
        children = [fork(folder, seed + 3 * number + index) for index in range(3)]
        for child in dice.sample(children, len(children)):
            time.sleep(dice.uniform(0.02, 0.25))
            os.kill(child, signal.SIGKILL)
            if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
                raise SystemExit("a process ended before it was killed: nothing is measured")
        counts.update(schedules=1, killed=len(children))
    return counts, reckon(folder, counts)


def fork(folder: Path, seed: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        live(folder, seed)
    finally:
        os._exit(1)


def reckon(folder: Path, counts: Counter[str]) -> Counter[str]:
    """Whether effects, answers and journal agree."""
    broken = Counter[str]()
    engine = open_database(folder / "guard.db")
    with engine.connect() as connection:
        rows = [json.loads(entry.payload) for entry in read_entries(connection, "guard.approval")]
        broken["I13"] += first_difference(connection) is not None
    engine.dispose()
    effects = Counter(lines(folder / "effects"))
    events = Counter((row["id"], row["event"]) for row in rows)
    votes = Counter((row["id"], row["by"]) for row in rows if row["event"] == "approve")
    for held, times in effects.items():
        people = {by: frozenset(ROLES[by]) for about, by in votes if about == held and by not in ("rita", "olga")}
        broken["I5"] += times > 1 or events[held, "claimed"] != 1
        broken["I13"] += events[held, "claimed"] < 1
        broken["I1"] += not can_be_seated([{"name": "require_approval", "k": 2, "of": ["finance"]}], people)
    broken["I7"] += sum(times > 1 for times in votes.values())
    for word, *rest in map(str.split, lines(folder / "heard")):
        found = {"asked": events[rest[0], "asked"], "executed": events[rest[0], "executed"]}
        broken["I7"] += (votes[rest[0], rest[1]] if word == "voted" else found[word]) != 1
    counts.update(
        asked=sum(row["event"] == "asked" for row in rows), votes=sum(votes.values()), effects=sum(effects.values())
    )
    counts.update(
        claims=sum(row["event"] == "claimed" for row in rows), finished=sum(row["event"] == "executed" for row in rows)
    )
    return broken


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wakes(count: int, folder: Path) -> list[float]:
    """Sorted milliseconds from the call that decides to the return of who waits in the same process."""
    took_ms = []
    with Ledger.open(folder / "wakes.db", keys_dir=folder / "keys") as ledger:
        world = World(folder / "wakes.db", ledger=ledger)
        world.approvals.poll_s = 60.0
        for _ in range(count):
            held = world.ask(obligations=needs((1, "finance")))
            began_s: list[float] = []

            def decide(held: str = held, began_s: list[float] = began_s) -> None:
                time.sleep(0.02)
                began_s.append(time.perf_counter())
                world.vote(held, "alice")

            thread = threading.Thread(target=decide)
            thread.start()
            if world.approvals.wait(held, 30).state != "approved":
                raise SystemExit("the wait ended without the decision")
            took_ms.append((time.perf_counter() - began_s[0]) * 1000)
            thread.join()
    return sorted(took_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="stop the interleavings after this long")
    parser.add_argument("--kills", type=int, default=20, help="schedules with real processes and kill -9")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / part for part in ("wakes", "kills", "interleavings")]
        for place in places:
            place.mkdir()
        woken_ms = wakes(100, places[0])
        killed, broken_by_kills = kills(options.kills, places[1], options.seed)
        counts, broken, examples = interleavings(options.seed, options.schedules, options.seconds, places[2])
    line: dict[str, Any] = {
        "bench": "approvals",
        "seed": options.seed,
        "interleavings": dict(counts),
        "violations": {name: broken[name] for name in INVARIANTS},
        "kill_9": dict(killed),
        "violations_kill_9": {name: broken_by_kills[name] for name in ("I1", "I5", "I7", "I13")},
        "decision_to_wake_ms": {"p50": round(woken_ms[50], 1), "p99": round(woken_ms[99], 1)},
        "examples": examples,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
