"""The feedback store of one project: database, keys and seals at their places below `.backstay/`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from backstay.storage.engine import open_database
from backstay.storage.location import database_url, may_exist, project_database, seals_of
from backstay.storage.repository import Repository
from backstay.storage.seal import Seal, Sealer
from backstay.storage.verify import VerifyReport, verify_journal


class Store:
    """Opens a project's database; `repository` reads and appends.

    That is `url`, else what BACKSTAY_DATABASE_URL names, else `.backstay/backstay.db`. Keys and seals stay in the
    project folder. With `seal` (the default) the journal is sealed after each append.
    """

    def __init__(
        self,
        project_dir: Path,
        *,
        create: bool = False,
        seal: bool = True,
        url: str | URL | None = None,
        migrate: bool = True,
    ) -> None:
        self.folder = Path(project_dir) / ".backstay"
        self.url = database_url(url) if url else project_database(self.folder)
        self.sealer = Sealer(self.folder / "keys", seals_of(self.url, self.folder))
        self.engine = open_database(self.url, create=create, migrate=migrate)
        self.repository = Repository(self.engine, self.sealer if seal else None)

    @staticmethod
    def may_exist(project_dir: Path) -> bool:
        """Whether the project has a database: a file that is there, or a server, which only connecting can tell."""
        return may_exist(Path(project_dir) / ".backstay")

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
