"""Model cards: what a model was made from and how it was measured, as Markdown with front matter for hubs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")


@dataclass(frozen=True)
class Section:
    """A heading with a table of facts, sentences, or both."""

    title: str
    facts: Mapping[str, str]
    text: Sequence[str] = ()


@dataclass(frozen=True)
class Measured:
    """One measure before and after training, each a mean with its interval; None = not measured on that side."""

    name: str
    before: tuple[float, float, float] | None
    after: tuple[float, float, float] | None
    difference: tuple[float, float, float] | None


@dataclass(frozen=True)
class Card:
    """Everything that a card says; `licence` is the base model's, empty where its folder does not tell."""

    title: str
    base: str
    base_digest: str
    licence: str
    sections: Sequence[Section] = ()
    measured: Sequence[Measured] = ()
    measured_on: str = ""
    limits: Sequence[str] = ()


def model_card(card: Card) -> str:
    """README.md of an exported model; text from elsewhere is shown as text, whatever it holds."""
    known = LICENCE.fullmatch(card.licence) is not None
    front = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags: [backstay, rlhf]"]
    front += [f"license: {card.licence.lower()}"] if known else []
    licence = f"That of the base model: {card.licence}." if known else _UNKNOWN_LICENCE
    base = Section("Base model", {"name": card.base, "sha256": card.base_digest}, [licence])
    blocks = ["\n".join([*front, "---"]), f"# {cell(card.title)}", _WHAT]
    blocks += [_section(section) for section in (base, *card.sections)]
    if card.measured:
        blocks.append(_evaluation(card))
    blocks.append("## Limits\n\n" + "\n".join(f"- {cell(limit)}" for limit in (*card.limits, _NO_GATE)))
    return "\n\n".join(blocks) + "\n"


_WHAT = "Base model and adapters merged into one set of float32 weights by Backstay."
_UNKNOWN_LICENCE = "Its licence applies; the folder of the base model does not name it."
_NO_GATE = (
    "This card says how the model was made. No gate has looked at it: whether it is fit for a use is not said here."
)


def licence_of(folder: Path) -> str:
    """The licence that a model's folder names, in tokenizer_config.json or the front matter of README.md; or empty."""
    config = folder / "tokenizer_config.json"
    if config.is_file():
        named: Any = json.loads(config.read_bytes())
        if isinstance(named, dict) and isinstance(named.get("license"), str) and named["license"]:
            return str(named["license"])
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = re.search(r"(?m)^license: *([^\s#]+) *$", front.group(1)) if front else None
    return found.group(1) if found else ""


def cell(text: str) -> str:
    """Foreign text in one line that is neither a table's border nor markup."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _section(section: Section) -> str:
    rows = [f"| {cell(name)} | {cell(value)} |" for name, value in section.facts.items()]
    table = ["\n".join(["| | |", "|---|---|", *rows])] if rows else []
    return "\n\n".join([f"## {cell(section.title)}", *table, *(cell(sentence) for sentence in section.text)])


def _evaluation(card: Card) -> str:
    head = "| measure | before | after | difference |\n|---|---|---|---|\n"
    rows = [
        f"| {cell(row.name)} | {_interval(row.before)} | {_interval(row.after)} | {_interval(row.difference)} |"
        for row in card.measured
    ]
    return f"## Evaluation\n\n{cell(card.measured_on)}\n\n{head}" + "\n".join(rows)


def _interval(value: tuple[float, float, float] | None) -> str:
    return "-" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
