"""Texts of our own, all synthetic: instructions hidden in data, takeovers, and the harmless texts that look like them.

The same topics, names and things stand on both sides, so that a classifier learns the form of a text and not its topic.
Every list is ours; the kinds of instruction follow what is publicly described of indirect prompt injection.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import yaml

WORDS = yaml.safe_load(Path(__file__).with_name("injection_words.yaml").read_text("utf-8"))
SLOTS: dict[str, list[str]] = WORDS["slots"]
NAMES = SLOTS["name"]
ASIDES = WORDS["asides"]
BENIGN_TRIGGERS = WORDS["benign_triggers"]
CODE = WORDS["code"]
CODE_LEADS = WORDS["code_leads"]
DATA_SENTENCES = WORDS["data_sentences"]
EDITS = WORDS["edits"]
FOREIGN_DATA = WORDS["foreign_data"]
FOREIGN_TAKEOVERS = WORDS["foreign_takeovers"]
FOREIGN_TASKS = WORDS["foreign_tasks"]
HARMLESS_ROLES = WORDS["harmless_roles"]
MONTHS = WORDS["months"]
ORDERS = WORDS["orders"]
PERSONAS = WORDS["personas"]
REMARKS = WORDS["remarks"]
READER_ASKS = WORDS["reader_asks"]
SURNAMES = WORDS["surnames"]
TABLE_HEADS = WORDS["table_heads"]
TAKEOVERS = WORDS["takeovers"]
TASKS = WORDS["tasks"]
TITLE_WORDS = WORDS["title_words"]
USER_ASKS = WORDS["user_asks"]

Maker = Callable[[random.Random], str]


def filled(template: str, rng: random.Random, *, sentence: bool = True) -> str:
    """The template with each slot `{name}` filled from its list; a sentence begins with a capital."""
    for name, values in SLOTS.items():
        mark = "{" + name + "}"
        while mark in template:
            template = template.replace(mark, rng.choice(values), 1)
    return template[:1].upper() + template[1:] if sentence else template


def _of(templates: Sequence[str]) -> Maker:
    return lambda rng: filled(rng.choice(templates), rng)


def code_attack(rng: random.Random) -> str:
    return f"{filled(rng.choice(CODE_LEADS), rng)}\n```\n{filled(rng.choice(CODE), rng, sentence=False)}\n```"


def takeover(rng: random.Random) -> str:
    """A takeover, often with what it wants in the same breath."""
    wants = rng.choice((*TASKS, *EDITS, *ORDERS, *ORDERS))
    head = filled(rng.choice(TAKEOVERS), rng)
    return f"{head} {filled(wants, rng)}" if rng.random() < 0.7 else head


def foreign_attack(rng: random.Random) -> str:
    both = (*FOREIGN_TAKEOVERS, *FOREIGN_TASKS)
    return filled(rng.choice(both), rng)


ATTACKS: dict[str, Maker] = {
    "own/task": _of(TASKS),
    "own/edit": _of(EDITS),
    "own/order": _of(ORDERS),
    "own/code": code_attack,
    "own/takeover": takeover,
    "own/foreign": foreign_attack,
}


def persona(rng: random.Random) -> str:
    """A takeover of a user's own making: a role without limits, in several sentences."""
    count = rng.randint(2, 7)
    return (
        " ".join(filled(line, rng) for line in rng.sample(PERSONAS, count)) + " " + filled(rng.choice(USER_ASKS), rng)
    )


def document(rng: random.Random) -> str:
    """An e-mail, page, note, log or readme for a human reader, with what such texts ask of people."""
    kind = rng.choice(tuple(DATA_SENTENCES))
    lines = rng.choices(DATA_SENTENCES[kind], k=rng.randint(2, 9))
    lines += rng.choices(ASIDES, k=rng.randint(0, 3))
    lines += rng.choices(READER_ASKS, k=rng.randint(0, 3))
    rng.shuffle(lines)
    joint = rng.choice((" ", " ", "\n", "\n\n")) if kind != "log" else "\n"
    body = joint.join(filled(line, rng) for line in lines)
    if kind == "mail":
        body = (
            filled(rng.choice(("Hi {name},\n\n", "Dear {name}, ", "SUBJECT: {thing}\n", "Hello {name},\n")), rng) + body
        )
        body += filled(rng.choice(("\n\nBest,\n{name}", "\nKind regards, {name}", " Thanks! {name}", "")), rng)
    if kind == "page":
        body = filled(rng.choice(("# {topic}\n\n", "{topic}\n", "Home | Shop | Contact\n", "")), rng) + body
    return body


CELLS: dict[str, Maker] = {
    "year": lambda rng: str(rng.randint(1890, 2026)),
    "score": lambda rng: f"{rng.randint(0, 9)}{rng.choice('-:/')}{rng.randint(0, 9)}",
    "date": lambda rng: f"{rng.choice(MONTHS)} {rng.randint(1, 31)}, {rng.randint(1950, 2026)}",
    "share": lambda rng: rng.choice((f"{rng.random() * 100:.2f}%", f"{rng.randint(1, 999999):,}", "-", "n/a")),
    "person": lambda rng: f"{rng.choice(NAMES)} {rng.choice(SURNAMES)}" + rng.choice(("", "", " (loan)", " (captain)")),
    "title": lambda rng: " ".join(rng.sample(TITLE_WORDS, rng.randint(1, 4))),
    "place": lambda rng: rng.choice(SLOTS["place"]) + rng.choice(("", ", Stadium", " (home)", " United", " Airport")),
    "remark": lambda rng: filled(rng.choice(REMARKS), rng),
}


def table(rng: random.Random) -> str:
    """Rows of names, years, scores and short remarks."""
    kinds = rng.choices(tuple(CELLS), k=rng.randint(2, 8))
    heads = [rng.choice(TABLE_HEADS) for _ in kinds]
    rows = [[CELLS[kind](rng) for kind in kinds] for _ in range(rng.randint(3, 30))]
    lines = [heads, *([["---"] * len(kinds)] if rng.random() < 0.4 else []), *rows]
    if rng.random() < 0.3:
        return "\n".join(",".join(row) for row in lines)
    widths = [max(len(row[i]) for row in lines) if rng.random() < 0.6 else 0 for i in range(len(kinds))]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in lines)


def code_file(rng: random.Random) -> str:
    """Code with comments for a human reader, of which some do what attacks do too."""
    notes = ("# {ask}", '"""{ask}"""', "// {ask}", "# TODO({name}): {ask}", "# see {url}")
    lines = []
    for _ in range(rng.randint(1, 4)):
        lines.append(filled(rng.choice(notes).replace("{ask}", rng.choice(READER_ASKS)), rng))
        lines.append(filled(rng.choice(CODE), rng, sentence=False))
    return "\n".join(lines)


def foreign_data(rng: random.Random) -> str:
    return " ".join(filled(line, rng) for line in rng.choices(FOREIGN_DATA, k=rng.randint(1, 4)))


DATA: dict[str, Maker] = {
    "own/document": document,
    "own/table": table,
    "own/code_file": code_file,
    "own/foreign_data": foreign_data,
}

USER_TEXTS: dict[str, Maker] = {
    "own/trigger_words": _of(BENIGN_TRIGGERS),
    "own/harmless_role": _of(HARMLESS_ROLES),
    "own/user_task": _of((*TASKS, *USER_ASKS)),
    "own/user_edit": _of(EDITS),
    "own/foreign_user": _of(FOREIGN_TASKS),
    "own/user_document": lambda rng: f"{filled(rng.choice(USER_ASKS), rng)}\n\n{document(rng)}",
}


def made(maker: Maker, count: int, seed: str) -> Iterator[str]:
    """So many distinct texts; the same for the same seed."""
    rng, seen = random.Random(seed), set()  # noqa: S311 - made-up texts
    for _ in range(count * 4):
        text = maker(rng)
        if text not in seen and len(seen) < count:
            seen.add(text)
            yield text


def hidden_in(data: str, attack: str, rng: random.Random) -> str:
    """The attack at the beginning, at the end, or between two lines or sentences of the data."""
    place = rng.random()
    if place < 0.25:
        return f"{attack}\n{data}"
    if place < 0.5:
        return f"{data}\n{attack}"
    joint = "\n" if data.count("\n") > 2 else ". "
    parts = data.split(joint)
    at = rng.randint(1, max(1, len(parts) - 1))
    return joint.join(parts[:at]) + joint + attack + (joint if joint == "\n" else " ") + joint.join(parts[at:])
