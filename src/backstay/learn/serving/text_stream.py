"""From tokens of one choice to its text, piece by piece: nothing goes out that may still change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backstay.errors import BackstayError

UNFINISHED = "\ufffd"
"""What a decoder shows for a character of which bytes are still missing."""


@dataclass
class TextStream:
    """The text of one choice; `decode` is the model's, which strips white space at both ends."""

    decode: Callable[[Sequence[int]], str]
    stops: tuple[str, ...] = ()
    tokens: list[int] = field(default_factory=list)
    sent: str = ""
    stopped: bool = False
    """Whether a stop text has come; it and what follows it are not part of the text."""

    def take(self, token: int) -> str:
        """What one more token lets go out."""
        self.tokens.append(token)
        text = self.decode(self.tokens)
        cut = self._stop_in(text)
        if cut is not None:
            self.stopped = True
            return self._send(text[:cut])
        safe = text.rstrip(UNFINISHED)
        return self._send(safe[: len(safe) - self._may_stop(safe)])

    def end(self) -> str:
        """What was held back, once no token comes any more."""
        return "" if self.stopped else self._send(self.decode(self.tokens))

    def _send(self, text: str) -> str:
        if len(text) <= len(self.sent) and self.sent.startswith(text):
            return ""
        if not text.startswith(self.sent):
            raise BackstayError("the tokenizer changed a text that has been sent already: it cannot be streamed")
        new, self.sent = text[len(self.sent) :], text
        return new

    def _stop_in(self, text: str) -> int | None:
        found = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        return min(found) if found else None

    def _may_stop(self, text: str) -> int:
        """Characters at the end that a stop text may begin with."""
        longest = 0
        for stop in self.stops:
            fits = (n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n]))
            longest = max(longest, next(fits, 0))
        return longest
