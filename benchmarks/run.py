"""Run the benchmarks, keep each one's JSON line in benchmarks/results/, and write docs/benchmarks.md from them.

    python benchmarks/run.py [NAME ...] [--data DIR] [--database URL] [--folder DIR] [--table-only]

Without names, everything that needs no data runs; with --data (a folder with hh-rlhf/ and crowd/), --database (an
empty PostgreSQL database) and --folder (where databases of 12 GB are made, or found from an earlier run) the rest too.
"""

import argparse
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
from table import RESULTS, TABLE, table

HERE = Path(__file__).parent
PLAIN = {
    "demo": ["demo.py"],
    "ppo-lexicon": ["ppo_lexicon.py", "--updates", "10"],
    "overoptimisation": ["overoptimisation.py", "--seeds", "5", "--figure", "docs/learn/overoptimisation.svg"],
    "lagrangian": ["lagrangian.py", "--seeds", "5"],
    "algorithms": ["algorithms.py", "--seeds", "3"],
    "trl-oracle": ["trl_oracle.py"],
    "bloc-false-alarms": ["bloc_false_alarms.py"],
    "aggregate-speed": ["aggregate_speed.py"],
    "screen-duplicates": ["screen_duplicates.py"],
    "guard-gateway": ["guard/gateway.py"],
    "guard-soak": ["guard/soak.py"],
    "guard-policy": ["guard/policy.py"],
    "guard-scan": ["guard/scan.py"],
    "guard-stream": ["guard/stream.py"],
    "guard-danger": ["guard/danger.py"],
    "guard-audit": ["guard/audit.py"],
    "guard-approvals": ["guard/approvals.py"],
    "guard-replay": ["guard/replay.py"],
    "console-load": ["console/load.py", "--kills", "3"],
    "console-scale": ["console/scale.py"],
    "import-export": ["feedback/import_export.py"],
    "journal": ["storage/journal.py"],
}
WITH_FOLDER = {
    "console-scale-5m": ["console/scale.py", "--judgments", "5000000", "--folder", "{folder}"],
    "import-export-1m": ["feedback/import_export.py", *"--judgments 1000000 --formats trl --keep {folder}".split()],
}
WITH_DATABASE = {"console-load-postgresql": ["console/load.py", "--kills", "3", "--database", "{database}"]}
WITH_DATABASE_AND_FOLDER = {
    "console-scale-5m-postgresql": [*WITH_FOLDER["console-scale-5m"], "--database", "{database}"],
}
WITH_DATA = {
    "guard-personal": ["guard/personal.py", "--data", "{data}"],
    "hh-rlhf": ["hh_rlhf.py", "--data", "{data}/hh-rlhf/harmless-base-test.jsonl.gz"],
    "aggregate-attacks": ["aggregate_attacks.py", "--data", "{data}"],
    "aggregate-reward": ["aggregate_reward.py", "--data", "{data}"],
    "assignment": ["feedback/assignment.py", "--data", "{data}"],
    "rigged-source": ["rigged_source.py", "--data", "{data}"],
    "screen-poison": ["screen_poison.py", "--data", "{data}"],
    "screen-hh": ["screen_hh.py", "--data", "{data}"],
}
ASKING = WITH_DATA | WITH_DATABASE | WITH_FOLDER | WITH_DATABASE_AND_FOLDER


def machine() -> str:
    """Processor and cores, for the head of the table; no host name."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {psutil.cpu_count(logical=True)} cores"


def run(name: str, command: list[str]) -> None:
    """Run one script and keep what it printed."""
    print(f"{name} ...", file=sys.stderr)
    shown = subprocess.run(
        [sys.executable, HERE / command[0], *command[1:]], check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(shown.stdout.strip().splitlines()[-1])
    shown_as = " ".join(word if word == command[0] or word.startswith("-") else Path(word).name for word in command)
    kept = {"measured_on": machine(), "date": datetime.now(UTC).date().isoformat(), "command": shown_as}
    (RESULTS / f"{name}.json").write_text(json.dumps(found | kept, sort_keys=True, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*PLAIN, *ASKING])}")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--database")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--table-only", action="store_true", help="only write the page again")
    options = parser.parse_args()
    if not options.table_only:
        RESULTS.mkdir(exist_ok=True)
        given = {"data": options.data, "database": options.database, "folder": options.folder}
        missing = {f"{{{kind}}}" for kind, value in given.items() if not value}
        asked = {name: words for name, words in ASKING.items() if not any(m in w for m in missing for w in words)}
        known = PLAIN | {n: [w.format(**given) for w in c] for n, c in asked.items()}
        for name in options.names or known:
            run(name, known[name])
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
