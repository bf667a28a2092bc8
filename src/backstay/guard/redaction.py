"""What redaction of a whole text is: the definition that the streaming core is held to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.scan import View
from backstay.scan.rule_pack import Match, RulePack
from backstay.scan.secrets import secret_pack

Effect = Literal["pass", "redact", "deny"]
HIDDEN_RUN = 256
"""Invisible characters in a row after which a text is cut: no honest text has them, and a stream cannot hold them."""
HIDDEN_KIND = "hidden_text"


class Redacted(NamedTuple):
    """A span of the original that is not released."""

    start: int
    order: int
    end: int
    kind: str
    denies: bool


class Decision(NamedTuple):
    """What was decided of a text, and the spans that were not released (of the text before any redaction)."""

    effect: Effect
    spans: tuple[Redacted, ...]


@dataclass(frozen=True)
class Redaction:
    """Which rules, and what happens to what they find.

    `deny` names kinds at which the text ends; all others are replaced by `mask`, in which `{kind}` stands for the kind.
    """

    pack: RulePack = field(default_factory=secret_pack)
    deny: frozenset[str] = frozenset()
    mask: str = "[REDACTED:{kind}]"

    def span(self, start: int, end: int, match: Match, order: int) -> Redacted:
        """The redacted span of a match between these characters of the original."""
        return Redacted(start, order, end, match.rule.kind, match.rule.kind in self.deny)

    def masked(self, kind: str) -> str:
        """What stands in place of a finding of this kind."""
        return self.mask.format(kind=kind)

    def spans(self, text: str) -> list[Redacted]:
        """Every span of a text that is redacted, by place; spans may overlap."""
        view = View.of(text)
        order = {id(rule): place for place, rule in enumerate(self.pack.rules)}
        found = []
        for match in self.pack.matches(view.matched, altered=view.altered):
            start, end = view.span(match.start, match.end)
            end = len(text) if match.rule.close and not match.complete else end
            found.append((self.span(start, end, match, order[id(match.rule)]), match.overrun))
        return sorted(span._replace(denies=span.denies or overrun) for span, overrun in found)


def hidden_flood(source: NDArray[np.int64], last: int, end: int) -> int | None:
    """Where the first run of more than HIDDEN_RUN characters without a form is cut, None where there is none.

    `source` are the indices of characters that have one, `last` the one before them (-1: none), `end` the text's end.
    """
    places = np.concatenate(([last], source, [end]))
    wide = np.flatnonzero(np.diff(places) > HIDDEN_RUN + 1)
    return int(places[wide[0]]) + 1 + HIDDEN_RUN if len(wide) else None


def redact(text: str, redaction: Redaction | None = None) -> tuple[str, Decision]:
    """A whole text with every finding replaced, and what was decided."""
    rules = redaction if redaction is not None else Redaction()
    source = View.of(text).source
    cut = None if source is None else hidden_flood(source, -1, len(text))
    spans = rules.spans(text if cut is None else text[:cut])
    if cut is not None:
        spans.append(Redacted(cut, len(rules.pack.rules), len(text), HIDDEN_KIND, denies=True))
    return _joined(text, spans, rules), Decision(effect_of(spans), tuple(spans))


def _joined(text: str, spans: Iterable[Redacted], rules: Redaction) -> str:
    out, covered = [], 0
    for span in spans:
        if span.start >= covered:
            out += [text[covered : span.start], rules.masked(span.kind)]
        covered = max(covered, span.end)
        if span.denies:
            return "".join(out)
    return "".join((*out, text[covered:]))


def effect_of(spans: Sequence[Redacted]) -> Effect:
    """`deny` where any span denies, `redact` where there is any, else `pass`."""
    if any(span.denies for span in spans):
        return "deny"
    return "redact" if spans else "pass"
