"""What streams of all APIs have in common: events one by one, sizes, and what the client asked and was told."""

from abc import ABC, abstractmethod
from typing import Any

from backstay.guard.gateway.answers import MalformedAnswer
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.settling import Settled
from backstay.guard.gateway.sse import Event
from backstay.guard.output_plan import OutputPlan

DENIED = "\n[guard: the answer was denied here]"


class Streamed(ABC):
    """An answer while it streams; `take_all` gives the bytes that may go out, `close` the rest."""

    def __init__(self, context: Context, plan: OutputPlan) -> None:
        self._context, self._plan = context, plan
        self._said: dict[tuple[int, str], list[str]] = {}
        self._size = 0
        self.usage: dict[str, Any] | None = None

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether nothing that the upstream still says can go out."""

    @abstractmethod
    def take(self, event: Event) -> bytes:
        """One event; what may go out now. Raises MalformedAnswer, or ApiFault for an error of the upstream."""

    @abstractmethod
    async def close(self) -> tuple[bytes, Settled]:
        """The upstream is done: decide on what is left; the last bytes."""

    @abstractmethod
    def abandon(self) -> None:
        """The answer is cut off: what was said is decided on once more, for the journal."""

    @property
    def estimated_tokens(self) -> int:
        """Tokens of prompt and answer, at four characters each, where the upstream did not say."""
        asked = sum(len(slot.text) for slot in self._context.request.slots)
        return (asked + sum(len(piece) for pieces in self._said.values() for piece in pieces)) // 4 + 1

    def take_all(self, batch: list[Event]) -> tuple[bytes, Exception | None]:
        """What may go out of these events before the first that fails, and how that failed."""
        out = []
        for event in batch:
            try:
                self._check_size(event)
                out.append(self.take(event))
            except Exception as error:  # noqa: BLE001  what was decided before it still goes out
                return b"".join(out), error
            if self.ended:
                break
        return b"".join(out), None

    def _check_size(self, event: Event) -> None:
        self._size += len(event.data)
        most = self._context.settings.limits.answer_bytes
        if self._size > most:
            raise MalformedAnswer(f"the answer is longer than {most} bytes")
