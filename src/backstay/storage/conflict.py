"""Transactions that the database ended in favour of others, and how often they are tried again."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from backstay.errors import ResourceError

T = TypeVar("T")
ATTEMPTS = 5
_FIRST_WAIT_S = 0.01


class TransactionConflict(ResourceError):
    """A deadlock or a failed serialisation: nothing was stored, and the same may be tried again."""


def retried(work: Callable[[], T], attempts: int = ATTEMPTS) -> T:
    """What `work` returns; it is a whole transaction, and is run again after a conflict, `attempts` times in all."""
    for attempt in range(attempts - 1):
        try:
            return work()
        except TransactionConflict:
            # Two that met once meet again unless they wait for different times.
            time.sleep(random.uniform(0, _FIRST_WAIT_S * 2**attempt))  # noqa: S311  no secret
    return work()
