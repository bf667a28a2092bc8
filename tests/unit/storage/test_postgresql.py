"""What a user is told when a PostgreSQL server is down, refuses, fills up, gives way or goes away."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import ONLY_POSTGRESQL, PASSWORD, Database, Server, free_port
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.exc import DatabaseError, DBAPIError

from backstay.cli.failures import report_failure
from backstay.errors import BackstayError, ResourceError, UsageError
from backstay.records import Rater
from backstay.storage import Store, open_database
from backstay.storage.conflict import TransactionConflict, retried
from backstay.storage.engine import write_transaction, writing_at_once
from backstay.storage.new_database import APPEND_ONLY, APPROVALS
from backstay.storage.tables import SCHEMA_HEAD, metadata

if TYPE_CHECKING:
    from tests.unit.storage.conftest import Rows

SECRET = "hunter2"


def refusal(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(BackstayError) as raised:
        open_database(url)
    assert report_failure(raised.value) == raised.value.exit_code
    said = capsys.readouterr().err
    assert SECRET not in said and PASSWORD not in said and "Traceback" not in said
    return said


def test_a_server_that_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psycopg")
    port = free_port()
    said = refusal(f"postgresql://me:{SECRET}@127.0.0.1:{port}/x", capsys)
    assert f"cannot connect to postgresql://me@127.0.0.1:{port}/x" in said and "refused" in said
    assert "cure: start the server" in said


def test_a_wrong_password_an_unknown_user_and_an_unknown_database(
    postgresql_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server = postgresql_server
    assert "refused the password" in refusal(server.url_by_password("prepared", SECRET), capsys)
    assert "refused the password" in refusal(server.url_by_password("prepared", SECRET, "nobody"), capsys)
    assert "/nothing does not exist" in refusal(server.url_by_password("nothing", PASSWORD), capsys)
    assert "refused the password" in refusal(f"postgresql://rater@127.0.0.1:{server.port}/prepared", capsys)


@ONLY_POSTGRESQL
@pytest.mark.parametrize(("more", "told"), [("", "60000"), ("&tcp_user_timeout=5000", "5000")])
def test_a_server_that_vanishes_is_not_waited_for(database: Database, more: str, told: str) -> None:
    """For longer than a minute, where the URL does not say for how long."""
    assert database.server is not None
    engine = open_database(database.server.url(database.name) + more, migrate=False)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        parameters = driver.info.get_parameters()
    engine.dispose()
    assert parameters["tcp_user_timeout"] == told
    assert {"keepalives_idle", "keepalives_interval", "keepalives_count", "connect_timeout"} <= parameters.keys()


@ONLY_POSTGRESQL
def test_a_user_who_may_not_write(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database.server is not None
    database.server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO rater", database.name)
    monkeypatch.setenv("BACKSTAY_DATABASE_URL", database.server.url_by_password(database.name, PASSWORD))
    with Store(tmp_path) as store:
        assert store.repository.datasets() == []
        with pytest.raises(ResourceError, match="does not let this user do that\n  cure: grant"):
            store.repository.add_raters("demo", [Rater(id="ann", display_name="Ann")])


@ONLY_POSTGRESQL
def test_a_read_only_server(database: Database, store: Store, rows: "Rows") -> None:
    assert database.server is not None
    database.server.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    store.close()
    assert len(store.repository.prompts("demo")) == 3 and store.verify().ok
    with pytest.raises(ResourceError, match="is read-only; nothing was stored"):
        store.repository.append_judgments("demo", rows.judgments(1))


@ONLY_POSTGRESQL
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("53100", "no space left on its disk; nothing was stored"),
        ("53200", "is out of memory"),
        ("57014", "cancelled the statement"),
        ("XX001", "is damaged"),
        ("40001", "ended the transaction in favour of another"),
    ],
)
def test_what_the_server_reports_by_code(database: Database, store: Store, code: str, said: str) -> None:
    """The server itself raises the code, from a trigger: a full disk cannot be had in a test."""
    raising = f"AS $$ BEGIN RAISE EXCEPTION 'it happened' USING ERRCODE = '{code}'; END $$ LANGUAGE plpgsql"
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE FUNCTION refuse() RETURNS trigger {raising}")
        connection.exec_driver_sql("CREATE TRIGGER refuse BEFORE INSERT ON raters EXECUTE FUNCTION refuse()")
    with pytest.raises(BackstayError, match=said):
        store.repository.add_raters("demo", [Rater(id="eve", display_name="Eve")])
    assert len(store.repository.raters("demo")) == 2


NOTES = Table("notes", MetaData(), Column("n", Integer, primary_key=True))


def notes_at_once(store: Store, *numbers: int) -> None:
    with write_transaction(store.engine) as connection, writing_at_once(connection):
        for number in numbers:
            connection.execute(insert(NOTES), {"n": number})


@ONLY_POSTGRESQL
def test_what_writes_at_once_meet_is_told_by_the_end_of_the_block(database: Database, store: Store) -> None:
    """An error of the server's state in our words, another one without the statement, and nothing is stored."""
    NOTES.create(store.engine)
    with pytest.raises(DBAPIError, match="duplicate key") as raised:
        notes_at_once(store, 1, 2, 1)
    assert "n=1" not in str(raised.value)
    raising = "AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$ LANGUAGE plpgsql"
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE FUNCTION refuse() RETURNS trigger {raising}")
        connection.exec_driver_sql("CREATE TRIGGER refuse BEFORE INSERT ON notes EXECUTE FUNCTION refuse()")
    with pytest.raises(TransactionConflict):
        notes_at_once(store, 1)
    with store.engine.connect() as connection:
        assert connection.execute(select(NOTES)).all() == []


@ONLY_POSTGRESQL
def test_a_connection_that_is_lost_among_writes_at_once_stores_nothing(database: Database, store: Store) -> None:
    assert database.server is not None
    NOTES.create(store.engine)
    server = database.server

    def end_the_connection() -> None:
        with write_transaction(store.engine) as connection:
            number = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with writing_at_once(connection):
                connection.execute(insert(NOTES), {"n": 1})
                server.execute(f"SELECT pg_terminate_backend({number})", database.name)

    with pytest.raises(ResourceError, match="lost in the middle of a transaction; nothing of it was stored"):
        end_the_connection()
    notes_at_once(store, 2)
    with store.engine.connect() as connection:
        assert connection.execute(select(NOTES.c.n)).scalars().all() == [2]


@ONLY_POSTGRESQL
@pytest.mark.parametrize("is_raised", [False, True])
def test_a_pipeline_that_cannot_be_left_is_given_up_with_its_connection(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_raised: bool
) -> None:
    """As when a server says that it ends and closes its socket later: an answer is missing when the driver leaves."""
    psycopg = pytest.importorskip("psycopg")
    leave = psycopg.Pipeline._exit

    def leave_unanswered(self: Any, error: BaseException | None) -> None:
        monkeypatch.setattr(psycopg.Pipeline, "_exit", leave)
        self.pgconn.send_query_params(b"SELECT 1", None)
        leave(self, error)

    def write_and_get_stuck() -> None:
        with write_transaction(store.engine) as connection, writing_at_once(connection):
            connection.execute(insert(NOTES), {"n": 1})
            monkeypatch.setattr(psycopg.Pipeline, "_exit", leave_unanswered)
            if is_raised:
                raise KeyError("of the block")

    NOTES.create(store.engine)
    with pytest.raises(KeyError if is_raised else ResourceError, match="of the block|nothing of it was stored"):
        write_and_get_stuck()
    notes_at_once(store, 2)
    with store.engine.connect() as connection:
        assert connection.execute(select(NOTES.c.n)).scalars().all() == [2]


@ONLY_POSTGRESQL
def test_nothing_can_be_read_among_writes_at_once(store: Store) -> None:
    """The driver would answer later, and until then look as if nothing had been found."""
    with write_transaction(store.engine) as held, writing_at_once(held), pytest.raises(TypeError, match="be read"):
        held.execute(select(NOTES))


@ONLY_POSTGRESQL
def test_a_conflict_is_tried_again_and_stores_once(database: Database, store: Store) -> None:
    """The trigger fails twice, counted by a sequence, which no rollback takes back."""
    body = "IF nextval('tries') < 3 THEN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END IF; RETURN NULL;"
    with store.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE tries")
        connection.exec_driver_sql(
            f"CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN {body} END $$ LANGUAGE plpgsql"
        )
        connection.exec_driver_sql("CREATE TRIGGER refuse BEFORE INSERT ON raters EXECUTE FUNCTION refuse()")
    assert store.repository.add_raters("demo", [Rater(id="eve", display_name="Eve")]) == 1
    assert (len(store.repository.raters("demo")), store.verify().ok) == (3, True)


@ONLY_POSTGRESQL
def test_a_real_deadlock_is_survived(database: Database, store: Store) -> None:
    """Another client holds the raters and then wants the journal, which our transaction holds while it wants raters."""
    assert database.server is not None
    import psycopg

    place, done = database.server.place(database.name), threading.Event()
    with psycopg.connect(place) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute("LOCK TABLE raters IN ACCESS EXCLUSIVE MODE")
        stored: list[int] = []

        def write() -> None:
            stored.append(store.repository.add_raters("demo", [Rater(id="eve", display_name="Eve")]))
            done.set()

        thread = threading.Thread(target=write)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'raters'::regclass"
        while database.server.execute(waiting, database.name) == [(0,)]:
            pass
        other.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")  # Returns once we were ended as the victim.
        assert not done.is_set()
        other.commit()
        thread.join(20)
    assert stored == [1]
    assert store.verify().ok


def test_conflicts_are_tried_again_only_so_often() -> None:
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        raise TransactionConflict("again")

    with pytest.raises(TransactionConflict):
        retried(work, attempts=3)
    assert len(tries) == 3


@ONLY_POSTGRESQL
def test_a_journal_that_another_client_locks_is_waited_for_only_so_long(database: Database, store: Store) -> None:
    impatient = open_database(database.url, busy_timeout_s=0.02)
    with store.engine.connect() as holder, holder.begin():
        holder.exec_driver_sql("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ResourceError, match="is locked by another process"):
            store.sealer.seal(impatient)
    impatient.dispose()


@ONLY_POSTGRESQL
def test_a_connection_lost_in_mid_transaction_stores_nothing_and_the_next_one_works(
    database: Database, store: Store, rows: "Rows"
) -> None:
    assert database.server is not None
    server, before = database.server, store.verify()

    def cut() -> None:
        with store.repository.batch() as batch:
            batch.append_judgments("demo", rows.judgments(1))
            server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'")
            batch.append_judgments("demo", [rows.judgment(1)])

    with pytest.raises(ResourceError, match="lost in the middle of a transaction; nothing of it was stored"):
        cut()
    assert (store.repository.judgments("demo"), store.verify()) == ([], before)
    assert len(store.repository.append_judgments("demo", rows.judgments(2))) == 2


@pytest.fixture
def own_server(postgresql_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that a test may kill."""
    import tempfile

    from databases import binaries

    programs = binaries()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="backstay-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Server(programs, Path(folder))
        try:
            yield made
        finally:
            made.stop(signal.SIGQUIT)


def test_a_server_that_crashes_and_comes_back(own_server: Server, tmp_path: Path, rows: "Rows") -> None:
    with Store(tmp_path, create=True, url=own_server.url("prepared")) as store:
        rows.add_to(store)
        own_server.stop(signal.SIGQUIT)  # It runs with synchronous_commit off, and yet nothing acknowledged is gone.
        with pytest.raises(ResourceError, match="cannot connect to|was lost"):
            store.repository.append_judgments("demo", rows.judgments(1))
        own_server.start()
        store.repository.append_judgments("demo", rows.judgments(2))
        assert (len(store.repository.judgments("demo")), store.verify().broken) == (2, None)


@ONLY_POSTGRESQL
def test_migrations_lead_to_the_tables_there_too(database: Database) -> None:
    engine = open_database(database.another(empty=True))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [SCHEMA_HEAD]
        query = "SELECT c.relname, t.tgtype FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal"
        types: dict[str, int] = {}
        for name, kind in connection.execute(text(query)):
            types[name] = types.get(name, 0) | kind
    engine.dispose()
    deletes, updates, truncates = 8, 16, 32
    for table in (*APPEND_ONLY, *APPROVALS):
        assert types[table] & deletes and types[table] & truncates
    for table in (*APPEND_ONLY, "approvals", "approval_votes", "approval_links"):
        assert types[table] & updates


@ONLY_POSTGRESQL
def test_truncate_is_refused_too(database: Database, store: Store) -> None:
    for table in APPEND_ONLY:
        with (
            pytest.raises(DatabaseError, match=f"the table {table} is append-only"),
            store.engine.begin() as connection,
        ):
            connection.execute(text(f"TRUNCATE {table} CASCADE"))


@ONLY_POSTGRESQL
def test_several_may_make_the_tables_at_once(database: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    url = database.another(empty=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: open_database(url).dispose(), range(4)))


def test_a_database_that_holds_no_utf8_is_refused(postgresql_server: Server) -> None:
    postgresql_server.execute(
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    )
    with pytest.raises(UsageError, match="/latin holds text as LATIN1\n  cure: createdb --encoding UTF8"):
        open_database(postgresql_server.url("latin"))
    postgresql_server.drop("latin")


@ONLY_POSTGRESQL
def test_a_database_of_something_else_is_left_alone(database: Database) -> None:
    url = database.another(empty=True)
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE cats (name text)"))
    engine.dispose()
    with pytest.raises(UsageError, match="is a database of something else: it has the table 'cats'"):
        open_database(url)


@pytest.mark.parametrize("name", ["x" * 201, "a\0b"])
def test_names_that_not_every_database_holds_are_refused_by_both(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a record"):
        store.repository.add_raters("demo", [Rater(id=name, display_name="Eve")])


def test_records_come_in_one_order_whatever_the_server_sorts_by(store: Store) -> None:
    names = ["Zoe", "ann", "b-1", "b1", "bob", "_x", "émile", "Émile"]
    store.repository.add_raters("other", [Rater(id=name, display_name=name) for name in names])
    assert [rater.id for rater in store.repository.raters("other")] == sorted(names)
