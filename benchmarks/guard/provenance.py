"""How many of AgentDojo's attacks an approval stands before, and how many honest tasks it asks. One JSON line.

Rule: a call with a side effect (its tool's name begins with none of READS) asks for approval if one leaf of an argument
named in DESTINATIONS came from a tool and from nobody trusted (`tool_only`). An attack is held if one of the
injection's own calls asks; a pair whose injection needs no call is no attack. A benign task is asked if one of its
calls asks. `weak_too` asks after any output also for destinations too short to tell. The calls are AgentDojo's ground
truth: no model, and an attacker who does not adapt.

    python -m venv DIR && DIR/bin/pip install agentdojo==0.1.35
    python benchmarks/guard/provenance.py --python DIR/bin/python
"""

import argparse
import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backstay.guard import Message, Provenance, origins_of

READS = ("get_", "read_", "search_", "list_", "check_")
DESTINATIONS = frozenset(
    "recipient recipients to cc bcc participants user user_email email url channel file_id event_id email_id id "
    "hotel restaurant company".split()
)


def episodes(python: str) -> Iterator[dict[str, Any]]:
    script = Path(__file__).with_name("provenance_dump.py")
    with subprocess.Popen([python, str(script)], stdout=subprocess.PIPE, text=True) as dump:
        for line in dump.stdout or ():
            yield json.loads(line)
    if dump.returncode:
        raise SystemExit(dump.returncode)


def asks(step: dict[str, Any], found: Provenance, origins: frozenset[str]) -> bool:
    """Whether the rule asks for approval of a call; for the variants, of other origins or of weak values too."""
    if step["tool"].startswith(READS):
        return False
    leaves = [leaf for leaf in found.leaves if leaf.argument in DESTINATIONS]
    return any(not origins.isdisjoint({*leaf.origins, leaf.flag}) for leaf in leaves)


def asked(episode: dict[str, Any], took_s: list[float]) -> dict[str, bool]:
    """Whether a call of the attack (of the task, where there is none) asks, by rule."""
    talk = [Message("user", episode["prompt"])]
    of_attack = episode["injection_task"] is not None
    answer = {"rule": False, "weak_too": False}
    for step in episode["steps"]:
        if step["attack"] == of_attack:
            begin = time.thread_time()
            found = origins_of(talk, step["args"])
            took_s.append(time.thread_time() - begin)
            answer["rule"] |= asks(step, found, frozenset({"tool_only"}))
            answer["weak_too"] |= asks(step, found, frozenset({"tool_only", "weak"})) and bool(talk[1:])
        talk.append(Message("tool", step["output"], step["tool"]))
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has agentdojo")
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    took_s: list[float] = []
    for episode in episodes(args.python):
        if "failed" in episode:
            counts["failed"] += 1
            continue
        attack = episode["injection_task"] is not None
        if attack and not any(step["attack"] for step in episode["steps"]):
            continue
        kind = "attacks" if attack else "benign"
        for rule, answer in asked(episode, took_s).items():
            for name in (f"{rule} {kind}", f"{rule} {kind} {episode['suite']}"):
                counts[f"{name} of"] += 1
                counts[name] += answer
    figures = {name: f"{counts[name]}/{counts[f'{name} of']}" for name in sorted(counts) if f"{name} of" in counts}
    print(
        json.dumps({**figures, "failed": counts["failed"], "ms_a_call_p50": round(statistics.median(took_s) * 1e3, 2)})
    )


if __name__ == "__main__":
    main()
