"""`backstay guard explain` and `backstay guard audit`: why something was decided, and what was decided last."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from backstay.guard.explanation import AuditRow

DATABASE = click.option("--database", help="Path or URL of the ledger. [default: .backstay/guard.db]")
_ASKED = ("point", "action", "tool", "principal", "roles", "resource", "session", "exchange")
_DECIDED = ("effect", "rules", "reasons", "errors", "obligations", "shadow", "shadow_effect")
_EVIDENCE = ("findings", "provenance", "counters", "counted", "args_shape", "text_digest", "args_digest")
_ALWAYS = ("effect", "rules", "policy", "status")


@click.command()
@click.argument("wanted", metavar="ID")
@click.option("--proof", is_flag=True, help="Prove that each row stands under a signed seal.")
@DATABASE
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the public keys, with the seals beside it. [default: .backstay/keys]",
)
@shared_options
def explain(session: Session, wanted: str, database: str | None, keys: Path | None, *, proof: bool) -> None:
    """Say what was asked, which rules decided, and on what evidence; ID is of a decision, an exchange or an entry.

    With --proof and --json, each row comes with all that is needed to check it without the database.
    """
    from backstay.guard.explanation import rows_about

    with _ledger(session, database) as connection:
        rows = rows_about(connection, wanted)
        found: list[dict[str, Any]] = [
            {"seq": row.seq, "kind": row.kind, "hash": row.hash, "payload": row.payload} for row in rows
        ]
        for item, row in zip(found, rows, strict=True):
            if proof:
                item["proof"] = _prove(
                    connection, row, keys or session.start / ".backstay" / "keys", _place(session, database)
                )
    if session.as_json:
        session.emit({"id": wanted, "rows": found})
        return
    for item, row in zip(found, rows, strict=True):
        _tell(session, row)
        if proof:
            _tell_proof(session, item["proof"])


@click.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many.")
@click.option("--effect", type=click.Choice(["allow", "deny", "hold"]), help="Only decisions with this effect.")
@click.option("--tool", help="Only decisions on this tool.")
@click.option("--rule", help="Only decisions by this rule.")
@click.option("--session-id", help="Only decisions of this session.")
@DATABASE
@shared_options
def audit(
    session: Session,
    limit: int,
    effect: str | None,
    tool: str | None,
    rule: str | None,
    session_id: str | None,
    database: str | None,
) -> None:
    """List the newest decisions, last one first."""
    from backstay.guard.explanation import newest_rows

    wanted = {"effect": effect, "tool": tool, "session": session_id}

    def fits(row: "AuditRow") -> bool:
        said = row.payload
        same = all(said.get(name) == value for name, value in wanted.items() if value is not None)
        return row.kind == "guard.decision" and same and (rule is None or rule in (said.get("rules") or ()))

    with _ledger(session, database) as connection:
        rows = newest_rows(connection, limit, fits)
    if session.as_json:
        session.emit([{"seq": row.seq, "hash": row.hash, "payload": row.payload} for row in rows])
        return
    columns = ("effect", "point", "tool", "principal", "rules")
    session.table(
        ("entry", "at (UTC)", *columns),
        [
            (row.seq, _short(row.payload.get("at")), *(_shown(row.payload.get(name)) for name in columns))
            for row in rows
        ],
    )
    session.say("more on one: backstay guard explain ENTRY")


@contextlib.contextmanager
def _ledger(session: Session, database: str | None) -> "Iterator[Connection]":
    from backstay.storage import open_database

    engine = open_database(_place(session, database))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _place(session: Session, database: str | None) -> str:
    return database or str(session.start / ".backstay" / "guard.db")


def _prove(connection: "Connection", row: "AuditRow", keys: Path, database: str) -> dict[str, Any]:
    from backstay.errors import UsageError
    from backstay.storage import Sealer, inclusion_fault, prove_inclusion
    from backstay.storage.keys import public_keys
    from backstay.storage.location import seals_of

    try:
        found = prove_inclusion(connection, Sealer(keys, seals_of(database, keys.parent)).read(), row.seq)
    except UsageError as error:
        return {"holds": False, "problem": error.message}
    fault = inclusion_fault(found, public_keys(keys))
    return {"holds": fault is None, "problem": fault, "inclusion": found.payload()}


def _tell(session: Session, row: "AuditRow") -> None:
    said = row.payload
    session.say(f"{row.kind.removeprefix('guard.')} {_shown(said.get('id'))} at {_shown(said.get('at'))}")
    told = ("id", "at", *_ASKED, *_DECIDED, *_EVIDENCE, "policy")
    for name in (*_ASKED, *_DECIDED, *_EVIDENCE, "policy", *sorted(said.keys() - set(told))):
        if name in said and (said[name] not in (None, "", [], {}) or name in _ALWAYS):
            session.say(f"  {name:14} {_shown(said[name])}")
    session.say(f"  {'entry':14} {row.seq}, hash {row.hash}")


def _tell_proof(session: Session, proof: dict[str, Any]) -> None:
    if not proof["holds"]:
        session.say(f"  {'proof':14} none: {proof['problem']}")
        return
    found = proof["inclusion"]
    seal = found["seal"]
    session.say(f"  {'proof':14} leaf {found['index']} of {found['size']} under root {seal['merkle_root']},")
    session.say(f"  {'':14} in the seal of {seal['count']} entries of {seal['created_at']}, whose signature holds")


def _short(at: Any) -> str:
    """Day and time to the second."""
    return _shown(str(at)[5:19].replace("T", " "))


def _shown(value: Any) -> str:
    """A value on one line, without characters that could move the cursor or hide text."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value) or "-"
    elif isinstance(value, str):
        text = value
    else:
        import json

        text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
