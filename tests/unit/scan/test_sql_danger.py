import random
import sqlite3
import subprocess
import sys

import pytest
import sqlglot
from cpu_time import least_cpu_s
from danger_cases import CASES
from hostile_code import SQL_BOMBS

from backstay.errors import UsageError
from backstay.scan import View
from backstay.scan.sql_danger import SqlDanger, sql_dangers
from backstay.scan.sql_truth import always_true

WEIGHTY = ("medium", "high", "critical")


def kinds(text: str, dialect: str | None = None) -> set[str]:
    return {danger.kind for danger in sql_dangers(text, dialect=dialect)}


@pytest.mark.parametrize(("kind", "text"), [(k, t) for surface, k, t in CASES if surface == "sql" and k])
def test_what_does_harm_is_found(kind: str, text: str) -> None:
    assert kind in kinds(text)


@pytest.mark.parametrize("text", [t for surface, k, t in CASES if surface == "sql" and not k])
def test_what_only_reads_is_left_alone(text: str) -> None:
    assert [danger for danger in sql_dangers(text) if danger.severity in WEIGHTY] == []


def test_dialects_read_quotes_differently_and_any_reading_counts() -> None:
    text = "SELECT 'a\\'; DROP TABLE x; -- '"
    assert "sql_destructive" in kinds(text, "postgres") and "sql_destructive" not in kinds(text, "mysql")
    assert "sql_destructive" in kinds(text)


def test_an_unknown_dialect_is_an_error_of_the_operator() -> None:
    with pytest.raises(UsageError, match="klingon"):
        sql_dangers("SELECT 1", dialect="klingon")


def test_spans_are_those_of_the_statement() -> None:
    text = "SELECT 1; DROP TABLE users; SELECT 2"
    spans = {danger.kind: danger.span for danger in sql_dangers(text)}
    assert text[slice(*spans["sql_destructive"])] == "DROP TABLE users"


def scanned(text: str, *, assume: bool = False) -> list[tuple[str, str]]:
    found = SqlDanger(assume=assume).scan(View.of(text))
    return [(finding.kind, text[slice(*(finding.span or (0, 0)))]) for finding in found]


def test_prose_is_no_statement() -> None:
    for text in (
        "Select the best of these.",
        "Update me on Monday.",
        "Please drop table 5 from the plan.",
        "with love",
    ):
        assert scanned(text) == []


def test_a_statement_is_found_in_a_fence_in_prose_and_in_arguments() -> None:
    drop = ("sql_destructive", "DROP TABLE users")
    assert drop in scanned("So:\n```sql\nDROP TABLE users\n```\n")
    assert drop in scanned("So do this:\n\nDROP TABLE users\n\nand rest.")
    assert drop in scanned('{"query": "DROP TABLE users"}')
    assert drop in scanned("DROP TABLE users", assume=True)


def test_what_nobody_calls_sql_counts_only_when_it_is_weighty() -> None:
    assert scanned("INSERT INTO t VALUES (1)") == []
    assert scanned("INSERT INTO t VALUES (1)", assume=True) == [("sql_write", "INSERT INTO t VALUES (1)")]
    assert scanned("what is this", assume=True) == [("sql_unparsed", "what is this")]


def test_padding_does_not_hide_a_statement() -> None:
    assert "sql_destructive" in {kind for kind, _ in scanned("SELECT 1" + " " * 30_000 + ";\nDROP TABLE users;\n")}


def test_full_width_letters_are_read_too() -> None:
    assert [kind for kind, _ in scanned("".join(chr(ord(c) + 0xFEE0) for c in "DROP") + " TABLE users")] == [
        "sql_destructive"
    ]


def test_evidence_holds_nothing_of_the_text() -> None:
    for finding in SqlDanger(assume=True).scan(View.of("DROP TABLE zebra_77; SELECT 'zebra_77")):
        assert "zebra" not in finding.evidence


def made_condition(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.3:
        left, right = (rng.choice(["1", "2", "0", "a", "b", "'x'", "1+1", "-1", "2*1"]) for _ in range(2))
        return rng.choice(
            [
                f"{left} {rng.choice(['=', '<', '>', '<=', '>=', '<>'])} {right}",
                f"{left} BETWEEN 0 AND 2",
                f"{left} IN (1, {right})",
                "1",
                "0",
                "TRUE",
                "'x' LIKE '%'",
                f"{left} IS {left}",
            ]
        )
    inner = made_condition(rng, depth - 1)
    return rng.choice(
        [
            f"({inner} AND {made_condition(rng, depth - 1)})",
            f"NOT ({inner})",
            f"({inner} OR {made_condition(rng, depth - 1)})",
        ]
    )


def test_what_is_said_to_hold_always_holds_in_sqlite() -> None:
    rng, held = random.Random(5), 0
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE t (a INTEGER, b INTEGER)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(x, y) for x in range(-3, 5) for y in range(-3, 5)])
        for _ in range(1500):
            condition = made_condition(rng, 3)
            tree = sqlglot.parse_one(f"SELECT 1 FROM t WHERE {condition}", read="sqlite").args["where"]
            if always_true(tree):
                held += 1
                query = f"SELECT count(*) FROM t WHERE NOT coalesce(({condition}), 0)"
                assert database.execute(query).fetchone() == (0,), condition
    database.close()
    assert held > 100


@pytest.mark.parametrize("text", SQL_BOMBS, ids=lambda text: repr(text[:12]))
def test_hostile_statements_end_soon(text: str) -> None:
    assert (
        least_cpu_s(lambda: sql_dangers(text)) < 3.0
    )  # several times what it takes, so that a busy machine does not fail it


def test_what_is_too_much_is_a_finding() -> None:
    for text in ("SELECT " + "(" * 5000, "SELECT 1;" * 1500, "INSERT INTO t VALUES " + "(1)," * 5000 + "(1)"):
        assert "sql_unparsed" in kinds(text)


def test_loading_the_parser_costs_a_text_none_of_its_time() -> None:
    code = (
        "from backstay.scan import sql_dangers; print({one.kind for one in sql_dangers('DELETE FROM t WHERE id > 0')})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert said == "{'sql_write'}\n"
