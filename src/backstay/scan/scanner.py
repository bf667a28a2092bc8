"""What a content scanner is, what it may cost, and how it says that it did not finish."""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

from backstay.records import Finding
from backstay.scan.view import View

CostClass = Literal["micro", "milli", "remote"]
"""Microseconds (literals, RE2), milliseconds (a small model), or another machine."""

Point = Literal["request.input", "model.output", "model.tool_call", "tool.result", "response.final", "feedback"]
NOT_SCANNED = "not_scanned"
NOT_DECODED = "not_decoded"


@dataclass(frozen=True)
class Budget:
    """How long scanning may take: `deadline` on `time.monotonic`, None for no limit."""

    deadline: float | None = None

    @classmethod
    def of(cls, milliseconds: float) -> "Budget":
        """A budget that ends so many milliseconds from now."""
        return cls(time.monotonic() + milliseconds / 1000)

    @property
    def spent(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() > self.deadline


NO_LIMIT = Budget()


class Scanner(Protocol):
    """Looks at one view of a text.

    `max_match_length` is the greatest length of a match in view characters; None where there is none, and then every
    match begins with a literal, so that a stream knows when to hold. A scanner that does not finish says so by a
    finding of kind `not_scanned`; the caller decides what that means, and the guard refuses.
    """

    @property
    def name(self) -> str:
        """Stands as `scanner` in its findings."""

    @property
    def cost_class(self) -> CostClass:
        """How dear it is."""

    @property
    def points(self) -> frozenset[Point]:
        """Where it is of use."""

    @property
    def deadline_ms(self) -> float:
        """Milliseconds after which a caller gives it up."""

    @property
    def max_match_length(self) -> int | None:
        """See above."""

    def scan(self, view: View, budget: Budget) -> tuple[Finding, ...]:
        """Findings with spans in the original text, in order of place; evidence is masked or hashed."""


@dataclass(frozen=True)
class Evidence:
    """What may be said of a secret: its length, and with a key a digest that is the same for the same secret."""

    key: bytes = field(default=b"", repr=False)

    def of(self, value: str) -> str:
        """Length and, with a key, 12 hexadecimal digits of the keyed digest; no characters of the value.

        Without a key there is no digest: a short password could be guessed from it.
        """
        if not self.key:
            return f"{len(value)} characters"
        digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=self.key[:64], digest_size=6).hexdigest()
        return f"{len(value)} characters, digest {digest}"
