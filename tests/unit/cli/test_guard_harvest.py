import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kept_traffic import said

from backstay.cli.main import cli
from backstay.guard.harvest import HarvestStore
from backstay.guard.ledger import Ledger
from backstay.storage.journal import utc_now

NOW_MS = 4_000_000_000_000
"""Far enough ahead that nothing expires while the test runs."""
CONFIG = """
guard: 1
upstreams: {main: {base_url: "http://127.0.0.1:1/v1"}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with Ledger.open(tmp_path / ".backstay" / "guard.db", keys_dir=tmp_path / ".backstay" / "keys") as ledger:
        store = HarvestStore(ledger)
        store.keep(said(1, "how?", "like this", effect="deny", at_ms=NOW_MS)).result(5)
        store.keep(said(2, "why?", "so", effect="deny", at_ms=NOW_MS, principal="bob")).result(5)
        store.keep(said(3, "old?", "so", effect="deny", at_ms=1_000_000)).result(5)
    (tmp_path / "guard.yaml").write_text(CONFIG)
    return tmp_path / "guard.yaml"


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["guard", *map(str, arguments)], catch_exceptions=False)


def test_a_harvest_is_told_and_deletes_what_is_too_old(config: Path, tmp_path: Path) -> None:
    result = run("harvest", "-c", config, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 exchanges of 2 principals" in result.output and "redteam.jsonl      2" in result.output
    with Ledger.open(tmp_path / ".backstay" / "guard.db", keys_dir=tmp_path / ".backstay" / "keys") as ledger:
        assert HarvestStore(ledger).owner(said(3, "").exchange, 0) is None


def test_options_reach_the_harvest(config: Path, tmp_path: Path) -> None:
    some = run("harvest", "-c", config, "-o", tmp_path / "a", "--since", "2090-01-01", "--kind", "redteam", "--json")
    assert json.loads(some.output)["exchanges"] == 2
    none = run("harvest", "-c", config, "-o", tmp_path / "b", "--since", "2097-01-01", "--json")
    assert json.loads(none.output)["exchanges"] == 0
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: 1\nrules: []\n")  # It allows every text, so what was denied is decided otherwise.
    changed = json.loads(run("harvest", "-c", config, "-o", tmp_path / "c", "--policy", policy, "--json").output)
    assert changed["left_out"]["tests_changed"] == 2 and changed["counts"]["policy_tests.yaml"] == 2


def test_forgetting_one_or_all_of_a_principal(config: Path) -> None:
    assert run("forget", "-c", config, said(1, "").exchange).output == "1 exchanges were forgotten\n"
    assert run("forget", "-c", config, said(1, "").exchange).exit_code == 1
    assert json.loads(run("forget", "-c", config, "--principal", "bob", "--json").output) == {"forgotten": 1}


@pytest.mark.parametrize("arguments", [(), ("x", "--principal", "bob")])
def test_what_is_forgotten_must_be_named_once(config: Path, arguments: tuple[str, ...]) -> None:
    result = run("forget", "-c", config, *arguments)
    assert result.exit_code == 2 and "name an exchange, or --principal" in result.output


def test_the_journal_says_so(config: Path) -> None:
    before = utc_now()
    run("forget", "-c", config, said(1, "").exchange)
    result = run("explain", said(1, "").exchange, "--database", config.parent / ".backstay" / "guard.db", "--json")
    rows = [row["payload"] for row in json.loads(result.output)["rows"] if row["kind"] == "guard.harvest"]
    assert [row["event"] for row in rows] == ["kept", "forgotten"]
    assert rows[0]["at"] <= before <= rows[1]["at"]
