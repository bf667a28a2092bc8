"""The version of the last signed policy that was used, kept in a file, so that an older one cannot come back."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from backstay.errors import IntegrityError
from backstay.policy.obligations import Closed
from backstay.storage.atomic import disk_errors, write_atomic

_MAX_BYTES = 10_000


class Accepted(Closed):
    """What was accepted: the version of the bundle and the digest of its statement."""

    version: int = Field(ge=1, lt=2**53)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")

    def refused_after(self, last: "Accepted | None") -> str | None:
        """Why this may not follow `last`, None when it may; the very same bundle may come again."""
        if last is None or self.version > last.version or self == last:
            return None
        if self.version < last.version:
            return f"version {self.version} is older than {last.version}, which was accepted already"
        return f"version {self.version} was accepted already with other contents"


def read_accepted(path: Path) -> Accepted | None:
    """What was accepted last, None when there is no such file; raises IntegrityError when the file is damaged."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            return Accepted.model_validate_json(file.read(_MAX_BYTES))
    except ValidationError as error:
        raise IntegrityError(
            f"{path} does not say which policy was accepted last",
            cure="restore it from a copy; deleting it lets any older signed policy in again",
        ) from error


def accept(path: Path, accepted: Accepted) -> None:
    """Keep what was accepted; raises IntegrityError when another process has accepted something newer meanwhile."""
    with _locked(path):
        last = read_accepted(path)
        if refusal := accepted.refused_after(last):
            raise IntegrityError(f"the policy is not used: {refusal}")
        if accepted != last:
            write_atomic(path, accepted.model_dump_json().encode() + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
