"""Marks of where a judgment came from: a hash of its rationale and of its client, and when it was given.

A million judgments take 24 MB: no text is kept.
"""

import math
import re
import unicodedata
from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from backstay.records import Judgment

LEAST_TEXT = 24
"""Characters of a normalised rationale below which two people may well write the same."""

MOST_TEXT = 20_000
"""Characters of a rationale that are looked at."""

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Marks:
    """Marks of J judgments.

    `rationale` and `client` are hashes, 0 where there is none or it is too short to tell anything; `created_s`, seconds
    since 1970, NaN where no time of day is known.
    """

    rationale: NDArray[np.int64]
    client: NDArray[np.int64]
    created_s: NDArray[np.float64]

    @property
    def any(self) -> bool:
        """Whether any judgment bears a mark."""
        return bool(self.rationale.any() or self.client.any() or not np.isnan(self.created_s).all())


@dataclass
class MarkCollector:
    """Collects marks, one judgment after the other."""

    rationale: "array[int]" = field(default_factory=lambda: array("q"))
    client: "array[int]" = field(default_factory=lambda: array("q"))
    created_s: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, judgment: Judgment) -> None:
        """Take the marks of the next judgment."""
        self.rationale.append(rationale_mark(judgment.rationale) if judgment.rationale else 0)
        self.client.append(mark_of(judgment.client) if judgment.client else 0)
        self.created_s.append(math.nan if _is_date(judgment.created_at) else seconds_of(judgment.created_at))

    def marks(self) -> Marks:
        """What was collected."""
        return Marks(
            np.array(self.rationale, dtype=np.int64),
            np.array(self.client, dtype=np.int64),
            np.array(self.created_s, dtype=np.float64),
        )


def rationale_mark(text: str) -> int:
    """Hash of a rationale by its words, whatever their case, spacing and punctuation; 0 for a short one."""
    words = " ".join(WORD.findall(unicodedata.normalize("NFKC", text[:MOST_TEXT]).casefold()))
    return mark_of(words) if len(words) >= LEAST_TEXT else 0


@lru_cache(maxsize=4096)
def mark_of(text: str) -> int:
    """A hash of 64 bits that is never 0, the same in every process."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def seconds_of(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 date or time, in UTC where it names no zone; NaN for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _is_date(text: str) -> bool:
    """Whether it names a day and no time, which says nothing of judgments given together."""
    return "T" not in text and " " not in text.strip()
