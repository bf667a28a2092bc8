"""Where a project's database is: its own file, or what BACKSTAY_DATABASE_URL names. Passwords are never shown."""

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from backstay.errors import UsageError

DATABASE_VARIABLE = "BACKSTAY_DATABASE_URL"
MAIN, SEALS = "backstay.db", "journal.seals.jsonl"
"""The project's own database, and its seals."""

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_BACKENDS = ("sqlite", "postgresql")
_FORM = (
    "give a path, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; write @ and / in a password as %40 and %2F"
)


def database_url(given: str | Path | URL) -> URL:
    """A path or URL as SQLAlchemy takes it, with the driver that Backstay installs.

    Raises UsageError, which never quotes what was given, for what is no URL of SQLite or PostgreSQL.
    """
    if isinstance(given, URL):
        return given
    if "://" not in str(given):
        return URL.create("sqlite", database=str(given))
    try:
        url = make_url(str(given))
    except (ArgumentError, ValueError):
        # Without the cause: its text may hold a part of the password.
        raise UsageError("the database URL cannot be read", cure=_FORM) from None
    if "@" in f"{url.host}{url.database if url.host else ''}":
        raise UsageError("the database URL has more than one @", cure=_FORM)
    if url.get_backend_name() not in (*_BACKENDS, "postgres"):
        raise UsageError(f"{url.get_backend_name()!r} is no database that Backstay knows", cure=_FORM)
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def shown(given: str | Path | URL) -> str:
    """A database for people to read: a file's path, or server and name without user's password and options."""
    url = database_url(given)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{url.username + '@' if url.username else ''}{host}{port}/{url.database or ''}"


def project_database(folder: Path) -> URL:
    """The database of the project whose folder `.backstay` is given."""
    named = os.environ.get(DATABASE_VARIABLE)
    return database_url(named or folder / MAIN)


def may_exist(folder: Path) -> bool:
    """Whether that database can be there already: a file that is, or a server, which only connecting can tell."""
    url = project_database(folder)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def seals_of(database: str | Path | URL, folder: Path) -> Path:
    """Where a journal's seals are kept: each database has its own file, named after it.

    A server's is named after the database and not after the host, which may have several names.
    """
    url = database_url(database)
    if url.get_backend_name() != "sqlite":
        plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in url.database or "")
        return folder / f"postgresql-{plain}.seals.jsonl"
    name = Path(url.database or "").name
    return folder / (SEALS if name in ("", MAIN) else f"{Path(name).stem}.seals.jsonl")
