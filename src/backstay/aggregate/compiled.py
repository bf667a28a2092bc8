"""Compile a kernel to machine code, once a machine, and run it over slices of its data."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numba import njit

P = ParamSpec("P")
R = TypeVar("R")
SLICES = 8
"""Slices of the items in every pass; fixed, so that sums come out the same on any number of cores."""
LEAST_FOR_THREADS = 10_000
"""Items below which one thread is faster than several."""


def drop_stale_kernels(folder: Path) -> bool:
    """Remove compiled kernels under `folder` when any source there has changed; whether it did.

    The compiler keeps a kernel while its own file is unchanged, also when a kernel of another file that was compiled
    into it has changed: results would then come from old code.
    """
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    stamp = folder / "__pycache__" / "kernels.sha256"
    try:
        if stamp.is_file() and stamp.read_text() == digest.hexdigest():
            return False
        for kept in (*folder.rglob("*.nbi"), *folder.rglob("*.nbc")):
            kept.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest())
    except OSError:  # not writable: nothing is kept there either
        return False
    return True


drop_stale_kernels(Path(__file__).parent)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call and keep the result on disk; releases the interpreter lock, so that threads run at once.

    The function takes arrays and numbers only. `.py_func` of the result is the function as written. Where no folder
    can be written, nothing is kept and every process compiles anew.
    """
    try:
        result: Callable[P, R] = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no place for its cache
        result = njit(nogil=True)(function)
    return result


def over_slices(size: int, work: Callable[[int, int, int], R], threads: int) -> list[R]:
    """Results of `work(slice, low, high)` for each slice of range(size), in order, on up to `threads` threads."""
    cut = np.linspace(0, size, SLICES + 1).astype(np.int64)
    jobs = [(k, int(cut[k]), int(cut[k + 1])) for k in range(SLICES)]
    if threads <= 1 or size < LEAST_FOR_THREADS:
        return [work(*job) for job in jobs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda job: work(*job), jobs))
