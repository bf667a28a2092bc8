"""Texts made to hurt scanners and streams: secrets cut, hidden and disguised, runs, and plain prose beside them."""

import random
from collections.abc import Sequence

from made_secrets import made

from backstay.scan.rule import Rule

PROSE = (
    "The harbour was quiet when the first boats came in. She said that the meeting on Monday would cover the budget, "
    "the new password policy and the schedule for March. Nobody had read the notes: they were 12 pages long, and the "
    "token ring of 1989 was mentioned twice. `for item in items: total += item.price * 3` is what the script does; "
    "see https://example.org/docs?id=77 for more. Add 3 eggs, 250 g of flour, and a pinch of salt - then wait. "
    "However, most of what people call a secret is only something that no one asked about. "
)
_SNIPPETS = "the password token is secret and api_key = none; Monday 12345678 dead sk- ghp eyJ -----BEGIN :// a.b.c"
SNIPPETS = (*_SNIPPETS.split(" "), "\u201cq\u201d", "é")
UNSEEN = ("\u200b", "\u0301", "\U000e0041", "\u202e", "\ufeff")


def prose(rng: random.Random, length: int) -> str:
    """Plain text of about this length, its sentences in random order."""
    sentences, out = PROSE.split(". "), ""
    while len(out) < length:
        out += rng.choice(sentences) + ". "
    return out[:length]


def disguised(secret: str, rng: random.Random) -> str:
    """A secret with characters hidden in it, letters replaced by full-width ones, or cut; or as it is."""
    place, way = rng.randrange(len(secret)), rng.random()
    if way < 0.3:
        return secret[:place] + rng.choice(UNSEEN) * rng.randint(1, 3) + secret[place:]
    if way < 0.45:
        return "".join(
            chr(ord(c) + 0xFEE0) if c.isalnum() and c.isascii() and rng.random() < 0.3 else c for c in secret
        )
    return secret[:place] if way < 0.6 else secret


def _noise(rng: random.Random) -> str:
    return "".join(rng.choice("abMN01.-_/=+:@\"' \n\u200b\u0435\u0410") for _ in range(rng.randint(1, 40)))


def tricky_text(rng: random.Random, rules: Sequence[Rule]) -> str:
    """Secrets, pieces of gates, prose and noise in random order."""
    parts = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.35:
            parts.append(disguised(made(rng.choice(rules), rng), rng))
        elif kind < 0.8:
            parts.append(rng.choice(SNIPPETS))
        elif kind < 0.84:
            parts.append("\u200b" * rng.randint(200, 300))
        else:
            parts.append(_noise(rng))
    return rng.choice(["", " ", " "]).join(parts)
