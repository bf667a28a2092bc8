"""The feedback store of one project: database, keys and seals at their places below `.backstay/`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from backstay.storage.engine import open_database
from backstay.storage.repository import Repository
from backstay.storage.seal import Seal, Sealer
from backstay.storage.verify import VerifyReport, verify_journal


class Store:
    """Opens `.backstay/backstay.db` of a project; `repository` reads and appends.

    With `seal` (the default) the journal is sealed after each append.
    """

    def __init__(self, project_dir: Path, *, create: bool = False, seal: bool = True) -> None:
        self.folder = Path(project_dir) / ".backstay"
        self.sealer = Sealer(self.folder / "keys", self.folder / "journal.seals.jsonl")
        self.engine = open_database(self.folder / "backstay.db", create=create)
        self.repository = Repository(self.engine, self.sealer if seal else None)

    def seal(self) -> Seal | None:
        """Seal the journal now; None when the last seal already covers it."""
        return self.sealer.seal(self.engine)

    def verify(self) -> VerifyReport:
        """Walk the journal and compare it with its seals and tables."""
        return verify_journal(self.engine, self.sealer.read())

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        """Use the store for one block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        self.close()
