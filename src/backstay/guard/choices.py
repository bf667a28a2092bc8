"""Every choice of an answer has its own stream; the arguments of a tool call are held until they are complete."""

from collections.abc import Hashable

from backstay.errors import UsageError
from backstay.guard.redaction import Decision, Redaction, redact
from backstay.guard.stream import TextStream

MAX_HELD = 1_000_000
"""Characters of one tool call's arguments; longer ones are denied."""


class HeldText:
    """Text of which nothing is released before it is complete and decided: the arguments of a tool call."""

    def __init__(self, redaction: Redaction | None = None, *, max_characters: int = MAX_HELD) -> None:
        self._redaction = redaction
        self._pieces: list[str] = []
        self._length = 0
        self._max = max_characters
        self._over = self._finished = False
        self.decision = Decision("pass", ())

    def feed(self, text: str) -> str:
        """Take in a piece; nothing is released."""
        self._length += len(text)
        if self._length > self._max:
            self._over, self._pieces = True, []
        elif not self._finished:
            self._pieces.append(text)
        return ""

    def finish(self) -> str:
        """The redacted whole, or nothing where it is denied or longer than may be held."""
        if self._finished:
            return ""
        self._finished = True
        if self._over:
            self.decision = Decision("deny", ())
            return ""
        text, self.decision = redact("".join(self._pieces), self._redaction)
        return "" if self.decision.effect == "deny" else text


class ChoiceStreams:
    """The streams of one answer: a text per choice (and per field of it), held arguments per tool call."""

    def __init__(self, redaction: Redaction | None = None, *, max_streams: int = 256) -> None:
        self._redaction = redaction if redaction is not None else Redaction()
        self._max = max_streams
        self._texts: dict[Hashable, TextStream] = {}
        self._held: dict[Hashable, HeldText] = {}

    def text(self, choice: int, name: str = "content") -> TextStream:
        """The stream of a choice's text; raises UsageError where an answer has more streams than allowed."""
        key = (choice, name)
        if key not in self._texts:
            self._admit()
            self._texts[key] = TextStream(self._redaction)
        return self._texts[key]

    def tool_call(self, choice: int, index: int) -> HeldText:
        """The held arguments of one tool call of a choice; raises as `text` does."""
        key = (choice, index)
        if key not in self._held:
            self._admit()
            self._held[key] = HeldText(self._redaction)
        return self._held[key]

    def decisions(self) -> dict[Hashable, Decision]:
        """What was decided so far, by (choice, field name or index of the tool call)."""
        texts = {key: stream.decision for key, stream in self._texts.items()}
        return {**texts, **{key: held.decision for key, held in self._held.items()}}

    def _admit(self) -> None:
        if len(self._texts) + len(self._held) >= self._max:
            raise UsageError(f"an answer has more than {self._max} choices and tool calls", cure="lower n")
