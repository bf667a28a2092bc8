"""A signed release while it is served: what was verified at the start, and whether it still holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from backstay.errors import IntegrityError, UsageError
from backstay.guard.gateway.settings import ReleaseSettings
from backstay.guard.ledger import Ledger
from backstay.records import uuid7
from backstay.storage.journal import utc_now
from backstay.storage.keys import public_keys
from backstay.storage.release import (
    ModelFolders,
    SignedRelease,
    check_files,
    check_revoked,
    file_marks,
    open_release,
    read_revoked,
)

ADMIN = "guard.admin"


@dataclass(frozen=True)
class Trust:
    """Whose releases are served, and the ledger that they are written into."""

    keys: Path
    revoked: Path | None
    ledger: Ledger

    @classmethod
    def of(cls, settings: ReleaseSettings, home: Path, ledger: Ledger) -> Self:
        """From guard.yaml; raises UsageError when there is no trusted key."""
        keys = (home / settings.trusted_keys).absolute()
        if not public_keys(keys):
            raise UsageError(
                f"releases.trusted_keys: {keys} holds no journal-*.pub", cure="copy the signer's .pub file there"
            )
        return cls(keys, (home / settings.revoked).absolute() if settings.revoked else None, ledger)

    def opened(self, run: Path) -> SignedRelease:
        """The release beside a run's manifest, signed, in time and not revoked; raises IntegrityError."""
        signed = open_release(run, public_keys(self.keys))
        if self.revoked is not None:
            check_revoked(signed, read_revoked(self.revoked))
        return signed


@dataclass
class ReleasedModel:
    """A release that held when it was last looked at."""

    upstream: str
    trust: Trust
    folders: ModelFolders
    signed: SignedRelease
    marks: Mapping[str, tuple[int, ...]]

    @classmethod
    def open(cls, upstream: str, told: Mapping[str, Any], trust: Trust) -> Self:
        """Verify the release that a worker has loaded, every file by its hash, and write it into the journal.

        Raises IntegrityError, and ResourceError when the journal does not take it.
        """
        folders = ModelFolders(Path(told["runs"]), Path(told["base"]))
        signed = trust.opened(folders.runs / told["run"])
        if signed.digest != told["release"]:
            raise IntegrityError(f"upstream {upstream}: the release was exchanged while it was loaded")
        marks = file_marks(signed, folders)
        check_files(signed, folders)
        found = cls(upstream, trust, folders, signed, marks)
        found.record()
        return found

    def check(self) -> None:
        """Look again: signature, time, revocations, and whether a file was touched, which is then hashed.

        A release that was signed anew for the same files is taken up. Raises IntegrityError.
        """
        signed = self.trust.opened(self.folders.runs / self.signed.release.run)
        if signed.files != self.signed.files:
            raise IntegrityError("its release was exchanged for one of other files")
        marks = file_marks(signed, self.folders)
        if marks != self.marks:
            check_files(signed, self.folders)
        self.marks = marks
        if signed.digest != self.signed.digest:
            self.signed = signed
            self.record()

    def renewed(self, found: "ReleasedModel") -> None:
        """Take over what was found when the same files were loaded again."""
        self.signed, self.marks = found.signed, found.marks

    def expired(self) -> bool:
        """Whether its time is over now."""
        return self.signed.expired(datetime.now(UTC))

    def record(self) -> None:
        """Write into the journal which release is served; returns once that is on disk."""
        release = self.signed.release
        row = {
            "id": uuid7(),
            "at": utc_now(),
            "event": "release",
            "upstream": self.upstream,
            "run": release.run,
            "release": self.signed.digest,
            "key": release.key,
            "expires_at": release.expires_at,
        }
        self.trust.ledger.append(ADMIN, row).result()

    def record_refusal(self, reason: str) -> None:
        """Write that it is served no longer, and why."""
        row = {"id": uuid7(), "at": utc_now(), "event": "release_refused", "upstream": self.upstream}
        self.trust.ledger.append(ADMIN, row | {"release": self.signed.digest, "reason": reason})
