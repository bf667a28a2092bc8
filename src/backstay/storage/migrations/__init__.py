"""Schema migrations, shipped with the package and run without a configuration file."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from backstay.errors import UsageError


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def head() -> str | None:
    """Revision of the newest migration in this folder."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(connection: Connection) -> None:
    """Run the missing migrations inside the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UsageError(
            f"the database has a schema that this version does not know: {error}",
            cure="install the version of backstay that wrote it, or a newer one",
        ) from error


__all__ = ["head", "upgrade"]
