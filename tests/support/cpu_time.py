"""Processor time of a piece of work, without what the collector of a long test run adds to it."""

import gc
import time
from collections.abc import Callable


def least_cpu_s(work: Callable[[], object], tries: int = 3) -> float:
    """The least of some tries, in seconds of this thread."""
    return min(_once(work) for _ in range(tries))


def _once(work: Callable[[], object]) -> float:
    gc.disable()
    try:
        begin = time.thread_time()
        work()
        return time.thread_time() - begin
    finally:
        gc.enable()
