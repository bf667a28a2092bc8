"""Schema migrations, shipped with the package and run without a configuration file."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from backstay.errors import UsageError
from backstay.storage.migrations.losing import DROP_DATA


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def head() -> str | None:
    """Revision of the newest migration in this folder."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def revisions() -> list[str]:
    """Every revision, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the missing migrations, up to `revision`, inside the connection's transaction."""
    with _known_only():
        command.upgrade(_connected(connection), revision)


def downgrade(connection: Connection, revision: str, *, drop_data: bool = False) -> None:
    """Go back to `revision` ("base" for none) inside the connection's transaction.

    Raises UsageError, and changes nothing, where rows would be lost and `drop_data` is false.
    """
    connection.execution_options(**{DROP_DATA: drop_data})
    with _known_only():
        command.downgrade(_connected(connection), revision)


def _connected(connection: Connection) -> Config:
    config = _config()
    config.attributes["connection"] = connection
    return config


@contextlib.contextmanager
def _known_only() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise UsageError(
            f"the database has a schema that this version does not know: {error}",
            cure="install the version of backstay that wrote it, or a newer one",
        ) from error


__all__ = ["downgrade", "head", "revisions", "upgrade"]
