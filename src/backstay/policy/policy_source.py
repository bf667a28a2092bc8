"""Where a running policy comes from: files on disk, or a signed bundle; read as bytes first, understood afterwards."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backstay.errors import IntegrityError
from backstay.policy.accepted_version import Accepted, accept
from backstay.policy.bundle_file import open_signed_bytes, read_signed
from backstay.policy.engine import PolicyBundle
from backstay.policy.policy_texts import PolicyText, compile_texts, read_texts
from backstay.records import canonical_json

Stamp = tuple[Any, ...]


class Opened(NamedTuple):
    """A policy that was understood, and what to do once it is used."""

    bundle: PolicyBundle
    use: Callable[[], None]


class PolicySource(Protocol):
    """Reads a policy as bytes, which `open` alone understands: what is kept for later is what was read."""

    name: str

    def stamp(self) -> Stamp:
        """What changes when a file is written; cheap, never raises."""

    def capture(self) -> bytes:
        """All that makes the policy, at one moment."""

    def open(self, captured: bytes) -> Opened:
        """Understand what was captured; raises BackstayError."""


class PolicyFiles:
    """Policy files as one policy; whoever may write them decides."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self.name = ", ".join(str(path) for path in self._paths)

    def stamp(self) -> Stamp:
        """Times, size and inode of each file."""
        return tuple(_stamp(path) for path in self._paths)

    def capture(self) -> bytes:
        """The texts as JSON; raises UsageError when a file cannot be read."""
        return canonical_json([list(text) for text in read_texts(self._paths)])

    def open(self, captured: bytes) -> Opened:
        """Compile the texts."""
        try:
            texts = tuple(PolicyText(str(name), str(text)) for name, text in json.loads(captured))
        except (ValueError, TypeError, RecursionError) as error:
            raise IntegrityError(f"what was kept of {self.name} is damaged: {type(error).__name__}") from error
        if not texts:
            raise IntegrityError(f"what was kept of {self.name} is empty")
        return Opened(compile_texts(texts), _nothing)


class SignedFile:
    """A signed bundle; whoever holds a trusted key decides. `state` keeps the last accepted version."""

    def __init__(
        self,
        path: Path,
        trusted: Mapping[str, Ed25519PublicKey],
        state: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path, self._trusted, self._state, self._now = path, dict(trusted), state, now
        self.name = str(path)

    def stamp(self) -> Stamp:
        """Times, size and inode of the file."""
        return _stamp(self._path)

    def capture(self) -> bytes:
        """The file's bytes."""
        return read_signed(self._path)

    def open(self, captured: bytes) -> Opened:
        """Check signature, hashes, expiry and version."""
        found = open_signed_bytes(captured, self.name, self._trusted, state=self._state, now=self._now())
        accepted = Accepted(version=found.statement.version, digest=found.digest)
        return Opened(found.bundle, lambda: accept(self._state, accepted))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno,)
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _nothing() -> None:
    """Files have no version to remember."""
