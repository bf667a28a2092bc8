"""Recall and false spans of the identifier rules on Presidio's synthetic texts, read from a data folder. One JSON line.

python benchmarks/guard/personal.py [--data DIR] [--half odd|even] [--show]

Any overlap of a finding with a span counts. Rules were written with the odd rows in sight; the even ones are the
figures to report. Kinds that the rules do not look for (names, places, ages) are told, and are no misses of theirs.
"""

import argparse
import gzip
import json
import os
from collections import Counter
from pathlib import Path

from backstay.scan import scan_identifiers

FILE = Path("presidio") / "synth_dataset_v2_dev.json.gz"
EXACT = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN")


def data_folder(given: Path | None) -> Path:
    """The folder given, the one of BACKSTAY_DATA, or ../shared/data beside the repository."""
    if given is not None:
        return given
    here = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("BACKSTAY_DATA", here.parent / "shared" / "data"))


def overlaps(span: tuple[int, int], other: dict[str, int]) -> bool:
    return span[0] < other["end_position"] and other["start_position"] < span[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--half", choices=("odd", "even"), default="even")
    parser.add_argument("--show", action="store_true", help="name missed spans and false ones (for odd rows)")
    args = parser.parse_args()
    path = data_folder(args.data) / FILE
    if not path.is_file():
        raise SystemExit(f"{path} is not there: give the folder of data sets by --data or BACKSTAY_DATA")
    rows = json.loads(gzip.decompress(path.read_bytes()))[1 if args.half == "odd" else 0 :: 2]
    spans, found, false = Counter(), Counter(), Counter()
    for row in rows:
        places = [finding.span for finding in scan_identifiers(row["full_text"]) if finding.span]
        for span in row["spans"]:
            hit = any(overlaps(place, span) for place in places)
            spans[span["entity_type"]] += 1
            found[span["entity_type"]] += hit
            if args.show and not hit and span["entity_type"] in EXACT:
                print("missed", span["entity_type"], span["entity_value"])
        for finding in scan_identifiers(row["full_text"]):
            if finding.span and not any(overlaps(finding.span, span) for span in row["spans"]):
                false[finding.kind] += 1
                if args.show:
                    print("false", finding.kind, row["full_text"][slice(*finding.span)])
    exact = {kind: f"{found[kind]}/{spans[kind]}" for kind in EXACT}
    figures = {
        "rows": args.half,
        "texts": len(rows),
        "found": exact,
        "recall_of_exact_kinds": round(sum(found[k] for k in EXACT) / sum(spans[k] for k in EXACT), 3),
        "false_spans": sum(false.values()),
        "false_by_kind": dict(false),
        "not_looked_for": {kind: count for kind, count in sorted(spans.items()) if kind not in EXACT},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
