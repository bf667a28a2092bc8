"""Prompts in four families and demonstrations of the wanted form, read from package data."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal

from backstay.records import Demonstration, Message, Prompt

SOURCE = "backstay-demo"

Family = Literal["plain", "refuse", "borderline", "opinion"]
FAMILIES: tuple[Family, ...] = ("plain", "refuse", "borderline", "opinion")


def demo_prompts() -> list[Prompt]:
    """The 300 demo prompts, train before heldout, families taking turns.

    `tags` holds `family` and what the gold rule needs: `topic` (plain, borderline) or `right` and `wrong` (opinion).
    """
    return [_prompt(row) for row in _rows("prompts.jsonl")]


def demo_demonstrations() -> list[Demonstration]:
    """The 96 demonstrations, 24 a family, all for train prompts; the family is in `prompt.tags["family"]`."""
    prompts = {prompt.messages[0].content: prompt for prompt in demo_prompts()}
    return [
        Demonstration(prompt=prompts[row["prompt"]], text=row["text"], source=SOURCE)
        for row in _rows("demonstrations.jsonl")
    ]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    text = (files("backstay.feedback.demo") / name).read_text(encoding="utf-8")
    for line in text.splitlines():
        yield json.loads(line)


def _prompt(row: dict[str, Any]) -> Prompt:
    message = Message(role="user", content=row["text"])
    return Prompt.make((message,), source=SOURCE, split=row["split"], tags={"family": row["family"], **row["tags"]})
