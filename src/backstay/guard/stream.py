"""Redaction of a text that arrives in pieces: what is released equals the redaction of the whole, whatever the pieces.

Nothing is released before everything that could redact it has been decided. What is held is the earliest place from
which a rule may still match: the beginning of a gate at the end of the text, or a shape that is not finished. A match
that runs on without end (a private key, a long token) is decided at its beginning and swallowed until it ends.
"""

from array import array
from bisect import insort
from dataclasses import dataclass

import numpy as np

from backstay.guard.redaction import HIDDEN_KIND, Decision, Redacted, Redaction, effect_of, hidden_flood
from backstay.scan.folding import fold
from backstay.scan.rule_pack import Candidate, Match

MAX_SPANS = 10_000
"""Spans that a decision names; what comes after them is redacted as well, and not named."""


@dataclass
class _Open:
    """A match that runs on; places count from the beginning of the whole view, ends from that of the text."""

    match: Match
    order: int
    start: int
    opened: int
    scanned: int
    end: int


class TextStream:
    """One text of one choice."""

    def __init__(self, redaction: Redaction | None = None) -> None:
        self._rules = redaction if redaction is not None else Redaction()
        self._pack = self._rules.pack
        self._text, self._text_at = "", 0
        self._view, self._view_at, self._seen = b"", 0, 0
        self._source = array("q")
        self._last_seen_char = -1
        self._pending: list[Candidate] = []
        self._open: list[_Open] = []
        self._runs: dict[int, int] = {}
        self._ready: list[Redacted] = []
        self._covered = 0
        self._spans: list[Redacted] = []
        self._ended = self._denied = self._stopped = False

    @property
    def held(self) -> int:
        """Characters taken in and not yet released or redacted."""
        return len(self._text)

    @property
    def ended(self) -> bool:
        """Whether nothing more will be released: finished or denied."""
        return self._ended

    @property
    def denied(self) -> bool:
        """Whether the text ended at something that is not released."""
        return self._denied or self._stopped

    @property
    def decision(self) -> Decision:
        """What has been decided so far; of the spans the first 10,000."""
        spans = [*self._spans, *(self._span_of(o) for o in self._open)]
        return Decision("deny" if self._denied else effect_of(spans), tuple(sorted(set(spans))))

    def feed(self, text: str) -> str:
        """Take in a piece and return what may be released now."""
        if self._ended or not text:
            return ""
        cut = self._take(text)
        if cut is None:
            return self._advance(final=False)
        return self._cut_off(cut)

    def finish(self) -> str:
        """The text is over: return what is left to release."""
        if self._ended:
            return ""
        out = self._advance(final=True)
        self._ended = True
        return out

    def _take(self, text: str) -> int | None:
        base = self._text_at + len(self._text)
        self._text += text
        if text.isascii():
            self._view += text.encode()
            self._source.extend(range(base, base + len(text)))
            self._last_seen_char = base + len(text) - 1
            return None
        view, source = fold(text)
        source += base
        cut = hidden_flood(source, self._last_seen_char, base + len(text))
        kept = len(source) if cut is None else int(np.searchsorted(source, cut))
        self._view += view[:kept].encode("ascii", "replace")
        self._source.extend(source[:kept].tolist())
        self._last_seen_char = int(source[-1]) if len(source) else self._last_seen_char
        return cut

    def _cut_off(self, cut: int) -> str:
        self._text = self._text[: cut - self._text_at]
        out = self.finish()
        if self.decision.effect == "deny":
            return out
        masked = "" if self._covered > cut else self._rules.masked(HIDDEN_KIND)
        self._note(Redacted(cut, len(self._pack.rules), cut, HIDDEN_KIND, denies=True))
        return out + masked

    def _advance(self, *, final: bool) -> str:
        self._extend()
        for start, rule in self._pack.candidates(self._view, self._seen - self._view_at):
            insort(self._pending, Candidate(start + self._view_at, rule))
        self._seen = self._view_at + len(self._view)
        self._resolve(final=final)
        safe = self._safe(final=final)
        out = self._release(self._safe_char(safe, final=final), final=final)
        self._trim(safe)
        return out

    def _extend(self) -> None:
        """Lead open matches on over what came in."""
        for run in self._open:
            self._lead_on(run)
            if run.start < self._text_at:
                self._covered = max(self._covered, run.end)
            else:
                same = (run.start, run.order)
                self._ready = [self._span_of(run) if (s.start, s.order) == same else s for s in self._ready]
        for run in self._open:
            if run.match.complete:
                self._note(self._span_of(run))
        self._open = [run for run in self._open if not run.match.complete]

    def _lead_on(self, run: _Open) -> None:
        base = self._view_at
        run.match = self._pack.run_on(run.match, self._view, run.scanned - base, run.opened - base)
        run.scanned = base + len(self._view)
        if run.match.rule.close and not run.match.complete:
            run.end = self._text_at + len(self._text)
        elif run.match.end:
            run.end = self._source[run.match.end - 1] + 1
        self._runs[run.order] = base + run.match.end

    def _note(self, span: Redacted) -> None:
        self._denied = self._denied or span.denies
        if len(self._spans) < MAX_SPANS:
            self._spans.append(span)

    def _span_of(self, run: _Open) -> Redacted:
        span = self._rules.span(run.start, run.end, run.match, run.order)
        return span._replace(denies=span.denies or run.match.overrun)

    def _resolve(self, *, final: bool) -> None:
        done = 0
        for candidate in self._pending:
            rule, start = self._pack.rules[candidate.rule], candidate.start - self._view_at
            if not final and rule.may_become(self._view, start):
                break
            done += 1
            if candidate.start < self._runs.get(candidate.rule, 0):
                continue
            match = self._pack.judged(self._view, Candidate(start, candidate.rule), self._altered)
            if match is not None:
                self._found(match, candidate.rule)
        del self._pending[:done]

    def _altered(self, start: int, end: int) -> bool:
        low, high = self._source[start] - self._text_at, self._source[end - 1] + 1 - self._text_at
        return self._text[low:high] != self._view[start:end].decode()

    def _found(self, match: Match, order: int) -> None:
        start, opened = self._source[match.start], self._view_at + match.end
        run = _Open(match, order, start, opened, opened, self._source[match.end - 1] + 1)
        if not match.rule.bounded:
            self._lead_on(run)
        insort(self._ready, self._span_of(run))
        if run.match.complete:
            self._note(self._span_of(run))
        else:
            self._open.append(run)

    def _safe(self, *, final: bool) -> int:
        """The place in the view before which everything is decided."""
        if final:
            return self._view_at + len(self._view)
        held = self._view_at + self._pack.held_from(self._view)
        return min(held, self._pending[0].start) if self._pending else held

    def _safe_char(self, safe: int, *, final: bool) -> int:
        place = safe - self._view_at
        char = self._source[place] if place < len(self._source) else self._text_at + len(self._text)
        runs = [] if final else [run.end for run in self._open if run.match.rule.tail is not None]
        return min([char, *runs])

    def _release(self, safe: int, *, final: bool) -> str:
        """Text up to `safe` with what is found in it replaced; drops it from what is held."""
        out, at = [], self._text_at
        while self._ready and (self._ready[0].start < safe or final):
            span = self._ready.pop(0)
            if span.start >= self._covered:
                out += [self._text[max(at, self._covered) - at : span.start - at], self._rules.masked(span.kind)]
            self._covered = max(self._covered, span.end)
            if span.denies:
                self._deny()
                return "".join(out)
        if any(run.match.overrun and run.start < safe for run in self._open):
            self._deny()
            return "".join(out)
        out.append(self._text[max(at, min(self._covered, safe)) - at : safe - at])
        self._text, self._text_at = self._text[safe - at :], safe
        return "".join(out)

    def _deny(self) -> None:
        self._ended = self._stopped = True
        self._text, self._view, self._source, self._pending = "", b"", array("q"), []

    def _trim(self, safe: int) -> None:
        drop = safe - self._pack.look_back - self._view_at
        if drop > 0:
            self._view, self._view_at = self._view[drop:], self._view_at + drop
            del self._source[:drop]
