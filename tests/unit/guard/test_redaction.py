"""The whole-text definition against matching every place by Python's own engine."""

import random
import re

from hostile_texts import tricky_text

from backstay.guard import Redaction, redact
from backstay.scan import View
from backstay.scan.rule import ALNUM, Rule
from backstay.scan.secrets import secret_rules


def all_spans(text: str) -> set[tuple[int, int, str]]:
    """Every match of every rule at every place of the view, in characters of the text."""
    view = View.of(text)
    found = set()
    for rule in secret_rules():
        for start in range(len(view.matched)):
            span = _match(rule, view.matched, start)
            if span is None or rule.severity_of(view.matched[span[0] : span[1]]) is None:
                continue
            end = _end(rule, view.matched, span[1])
            low, high = view.span(span[0], end)
            found.add(
                (low, len(text) if rule.close and not view.matched.endswith(rule.close, 0, end) else high, rule.kind)
            )
    return found


def _match(rule: Rule, text: bytes, start: int) -> tuple[int, int] | None:
    if rule.word_start and start and text[start - 1] in ALNUM:
        return None
    if rule.before and start and text[start - 1] in rule.run[0]:
        return None
    flags = re.IGNORECASE if rule.ignore_case else 0
    head, body = (
        b"".join(i.regex() for i in part) for part in (rule.items[: rule.value_at], rule.items[rule.value_at :])
    )
    boundary = b"(?!%s)" % rule.items[-1].pattern if rule.bounded else b""
    found = re.compile(b"(%s)(%s)%s" % (head, body, boundary), flags).match(text, start)
    return None if found is None else (found.end(1), found.end(2) - rule.cut)


def _end(rule: Rule, text: bytes, end: int) -> int:
    if rule.close:
        at = text.find(rule.close, end, end + rule.cap)
        return at + len(rule.close) if at >= 0 else len(text)
    while rule.tail is not None and end < len(text) and text[end] in rule.tail:
        end += 1
    return end


def covered(spans: set[tuple[int, int, str]]) -> set[int]:
    return {place for low, high, _ in spans for place in range(low, high)}


def test_redaction_covers_exactly_what_matching_every_place_finds() -> None:
    rng, findings = random.Random(11), 0
    for _ in range(25):
        text = tricky_text(rng, secret_rules())[:250]
        _, decision = redact(text)
        spans = {(span.start, span.end, span.kind) for span in decision.spans if span.kind != "hidden_text"}
        floods = [span.start for span in decision.spans if span.kind == "hidden_text"]
        assert covered(spans) == covered(all_spans(text[: floods[0]] if floods else text))
        findings += len(spans)
    assert findings > 10


def test_what_is_kept_is_what_no_span_covers() -> None:
    rng = random.Random(12)
    for _ in range(200):
        text = tricky_text(rng, secret_rules())
        out, decision = redact(text, Redaction(mask="\x00"))
        if decision.effect != "deny":
            hidden = covered({(span.start, span.end, span.kind) for span in decision.spans})
            assert out.replace("\x00", "") == "".join(char for i, char in enumerate(text) if i not in hidden)
