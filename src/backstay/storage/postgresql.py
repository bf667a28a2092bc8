"""PostgreSQL: how it is opened, and its errors in words that a user can act on. The only file that knows its codes."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from select import POLLIN, poll
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, func, select, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, NoSuchModuleError

from backstay.errors import BackstayError, IntegrityError, ResourceError, UsageError
from backstay.storage.conflict import TransactionConflict
from backstay.storage.location import shown

# Where a server acknowledges before it has written, a crash would take judgments that a rater was thanked for.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
# A plan that was kept from when a table was small reads all of it for each row, once it is large.
_PLAN_ANEW = "SET plan_cache_mode = force_custom_plan"
# What is compiled anew for each statement takes longer than all of ours run.
_NO_COMPILING = "SET jit = off"
_CONNECTING: Mapping[str, int] = {
    "connect_timeout": 10,
    # A server's machine that vanishes says nothing: without these, what waits for it waits for hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What libpq is told of connecting, where the URL does not say otherwise: seconds, a count, milliseconds."""
_KEPT_CONNECTIONS = 16
"""As many as the console has threads that read: one that is opened for a single query costs more than the query."""

_MIGRATION_LOCK = 0x6261636B73746179
_CONFLICTS = ("40001", "40P01")
_DAMAGED = ("XX001", "XX002")
_START = "start the server, or correct BACKSTAY_DATABASE_URL"
_WHO = "correct user and password in BACKSTAY_DATABASE_URL"

_REFUSALS: Mapping[str, tuple[str, str]] = {
    "25006": ("is read-only; nothing was stored", "write to the primary, or set default_transaction_read_only to off"),
    "28000": ("refused the user", _WHO),
    "28P01": ("refused the password", _WHO),
    "3D000": ("does not exist", "create it: createdb NAME"),
    "42501": ("does not let this user do that", "grant the user CREATE on the schema, and SELECT and INSERT on tables"),
    "53100": ("has no space left on its disk; nothing was stored", "free some space on the server"),
    "53200": ("is out of memory; nothing was stored", "look at the server"),
    "53300": ("has too many connections", "raise max_connections, or end some of its clients"),
    "55P03": ("is locked by another process", "wait for it or end it, then try again"),
    "57014": ("cancelled the statement; nothing was stored", "raise statement_timeout, or try again"),
    "57P01": ("was shut down by its administrator", _START),
    "57P02": ("crashed, or another of its processes did", _START),
    "57P03": ("is starting up or shutting down", "wait a little, then try again"),
}
_SAID: Mapping[str, str] = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    "role ": "28000",
    "database ": "3D000",
    "too many clients": "53300",
    "connection slots": "53300",
    "starting up": "57P03",
    "shutting down": "57P03",
}
"""What the client library says when it connects, for which it gives no code."""


def postgresql_engine(url: URL, lock_timeout_s: float, schema: str = "") -> Engine:
    """An engine for a PostgreSQL server, that sees one schema only where it is named.

    Raises UsageError when there is no driver.
    """
    try:
        engine = create_engine(
            url,
            connect_args={name: value for name, value in _CONNECTING.items() if name not in url.query},
            # Each statement of a transaction must see what was committed before it took the journal's lock.
            isolation_level="READ COMMITTED",
            pool_size=_KEPT_CONNECTIONS,
            hide_parameters=True,
            execution_options={"lock_timeout_ms": max(1, round(lock_timeout_s * 1000))},
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(f"no driver for {url.drivername}: {error}", cure="pip install 'backstay[postgres]'") from error

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.execute(_DURABLE)
        connection.execute(_PLAN_ANEW)
        connection.execute(_NO_COMPILING)
        if schema:
            connection.execute(f"SET search_path TO {schema}")
        connection.commit()

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        # A server that ended said so, and nothing else is said to who waits in the pool: no round trip is needed.
        if connection.closed or _has_input(connection.fileno()):
            raise InvalidatePoolError

    @event.listens_for(engine, "before_cursor_execute")
    def _before(_connection: Any, cursor: Any, _text: str, _values: Any, context: Any, _is_many: bool) -> None:
        # It would be answered at the pipeline's end, and until then look as if nothing had been found.
        is_read = getattr(getattr(context, "invoked_statement", None), "is_select", False)
        if is_read and cursor.connection.pgconn.pipeline_status:
            raise TypeError("nothing can be read among writes that wait for their answers together")

    @event.listens_for(engine, "handle_error")
    def _handle(context: ExceptionContext) -> None:
        known = _clear(context, url)
        if known is not None:
            raise known from context.original_exception

    return engine


def _has_input(descriptor: int) -> bool:
    found = poll()
    found.register(descriptor, POLLIN)
    return bool(found.poll(0))


def lock_journal(connection: Connection) -> None:
    """Let no other writer in until the transaction ends."""
    wait_ms = connection.get_execution_options()["lock_timeout_ms"]
    with pipeline(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
        connection.exec_driver_sql("LOCK TABLE journal IN EXCLUSIVE MODE")


@contextlib.contextmanager
def pipeline(connection: Connection) -> Iterator[None]:
    """Statements that wait for each other's answers once, at the end, where what one of them met is raised."""
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            yield
    except BaseException as error:
        url = connection.engine.url
        # A server that ends says so before it closes the socket; in between, its pipeline cannot be left.
        if is_lost := driver.closed or driver.pgconn.pipeline_status:
            connection.invalidate()  # There is nothing to roll back any more, and nobody to tell.
        if not isinstance(error, driver.Error):
            raise
        if is_lost:
            raise _lost(shown(url), at_end=False) from error
        known = _grave(error, url) or _refusal(str(error.sqlstate), shown(url))
        raise known or DBAPIError("a statement of a pipeline", None, error, hide_parameters=True) from error


def lock_schema(connection: Connection) -> None:
    """Let nobody else change the schema until the transaction ends; raises UsageError for an odd encoding."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise UsageError(
            f"{shown(connection.engine.url)} holds text as {encoding}",
            cure="createdb --encoding UTF8 --template template0",
        )


def copy_rows(connection: Connection, table: Table, names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Stream rows into a table; raises IntegrityError for what it does not take."""
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        said = " ".join(str(error).split())
        known = _refusal(str(error.sqlstate), shown(connection.engine.url))
        raise known or IntegrityError(f"a row of {table.name} does not fit: {said[:300]}") from error


def analyse(connection: Connection, tables: Iterable[Table]) -> None:
    """Let the server look how tables are filled, by which it plans statements."""
    quote = connection.dialect.identifier_preparer.quote
    for table in tables:
        connection.exec_driver_sql(f"ANALYZE {quote(table.name)}")


def set_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """Let numbers that the server gives go on behind those that are there."""
    for table in tables:
        for column in table.primary_key.columns:
            place = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
            ).scalar()
            if place is not None:
                last = connection.execute(select(func.max(column))).scalar()
                connection.execute(
                    text("SELECT setval(:place, :next, false)"), {"place": place, "next": (last or 0) + 1}
                )


def move_tables(connection: Connection, names: Sequence[str], source: str, target: str) -> None:
    """Move tables, and the functions of their triggers, from one schema into another."""
    query = text(
        "SELECT DISTINCT p.proname FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid"
        " WHERE NOT t.tgisinternal AND c.relnamespace = to_regnamespace(:source) AND c.relname = ANY(:names)"
    )
    quote = connection.dialect.identifier_preparer.quote
    functions = connection.execute(query, {"source": quote(source), "names": list(names)}).scalars().all()
    for kind, moved in (("TABLE", names), ("FUNCTION", functions)):
        for name in moved:
            connection.exec_driver_sql(f"ALTER {kind} {quote(source)}.{quote(name)} SET SCHEMA {quote(target)}")


def _clear(context: ExceptionContext, url: URL) -> BackstayError | None:
    """The error in our words, or None when it is not about the server or its state."""
    error = context.original_exception
    if not type(error).__module__.startswith("psycopg"):
        return None
    if (grave := _grave(error, url)) is not None:
        return grave
    if context.connection is not None and context.is_disconnect:
        return _lost(shown(url), at_end=context.statement is None)
    code = getattr(error, "sqlstate", None)
    if code is None and context.connection is None:
        return _not_connected(shown(url), _plain(error, url))
    return _refusal(str(code), shown(url))


def _grave(error: BaseException, url: URL) -> BackstayError | None:
    """What goes beyond the statement that met it; None for everything else."""
    code, place = getattr(error, "sqlstate", None), shown(url)
    if code in _CONFLICTS:
        return TransactionConflict(f"{place} ended the transaction in favour of another", cure="try again")
    if code in _DAMAGED:
        return IntegrityError(f"{place} is damaged: {_plain(error, url)}", cure="restore it: backstay db restore")
    return None


def _lost(place: str, *, at_end: bool) -> BackstayError:
    """A connection that ended within a transaction: only at its end is it open whether that was stored."""
    if at_end:
        return ResourceError(
            f"the connection to {place} was lost while a transaction ended",
            cure="look whether what was written last is there; doing the same again never stores it twice",
        )
    return ResourceError(
        f"the connection to {place} was lost in the middle of a transaction; nothing of it was stored", cure=_START
    )


def _not_connected(place: str, said: str) -> BackstayError:
    code = next((code for words, code in _SAID.items() if "FATAL" in said and words in said), None)
    code = code or ("28P01" if "no password supplied" in said else None)
    known = _refusal(code, place) if code else None
    return known or ResourceError(f"cannot connect to {place}: {said}", cure=_START)


def _refusal(code: str, place: str) -> BackstayError | None:
    if code not in _REFUSALS:
        return None
    what, cure = _REFUSALS[code]
    return ResourceError(f"{place} {what}", cure=cure)


def _plain(error: BaseException, url: URL) -> str:
    """What the driver said, on one line and without the password."""
    said = " ".join(str(error).split())
    for secret in (url.password, url.query.get("password")):
        said = said.replace(str(secret), "***") if secret else said
    return said
