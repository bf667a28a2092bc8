"""One process a run folder: a lock that the kernel lets go of when its holder dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from backstay.errors import ResourceError

LOCK = ".lock"


@contextlib.contextmanager
def run_lock(folder: Path, stage: str) -> Iterator[None]:
    """Hold a run folder; raises ResourceError with the other process's number when it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ResourceError(
                f"stage {stage} is being run already, by process {holder}",
                cure="wait until it is done, or end it; then run the same command again",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
