"""Recall and false alarms of the secret rules on detect-secrets' plugin test cases, read from a folder given.

python benchmarks/guard/secret_cases.py FOLDER [--show]

FOLDER holds detect_secrets_cases.jsonl with `text` and `secret` per line. `--show` names the cases that went wrong.
"""

import argparse
import json
from pathlib import Path

from backstay.scan.secrets import scan_secrets, secret_kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    lines = (args.folder / "detect_secrets_cases.jsonl").read_text("utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    wrong = [(case, bool(scan_secrets(case["text"]))) for case in cases]
    wrong = [(case, said) for case, said in wrong if said is not case["secret"]]
    positives = sum(case["secret"] for case in cases)
    if args.show:
        for case, said in wrong:
            print("false alarm" if said else "missed", case["file"], case["text"][:60])
    missed = sum(not said for _, said in wrong)
    print(
        json.dumps(
            {
                "found": positives - missed,
                "positives": positives,
                "false_alarms": len(wrong) - missed,
                "negatives": len(cases) - positives,
                "kinds": len(secret_kinds()),
            }
        )
    )


if __name__ == "__main__":
    main()
