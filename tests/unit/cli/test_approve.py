"""`backstay approve` on a ledger in a folder, without a gateway."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from approval_world import World, person, token_of
from click.testing import CliRunner

from backstay.cli.main import cli
from backstay.errors import BackstayError, UsageError
from backstay.guard.ledger import Ledger

Call = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with three held calls, the second with a hostile argument."""
    state = tmp_path / ".backstay"
    state.mkdir()
    people = [person(name, roles) for name, roles in (("alice", ("finance",)), ("bob", ("finance",)))]
    approvers = [one.model_dump(mode="json") for one in people]
    (state / "approvers.yaml").write_text(json.dumps({"approvers": approvers}), encoding="utf-8")
    (state / "approvers.yaml").chmod(0o600)
    with Ledger.open(state / "guard.db", keys_dir=state / "keys") as ledger:
        world = World(state / "guard.db", ledger=ledger)
        world.now_s = __import__("time").time()
        ids = [world.ask(), world.ask(args={"to": "\x1b[2J\u202eDE"}), world.ask(tool="files.delete\x1b[31m")]
    (tmp_path / "ids").write_text("\n".join(ids), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(folder: Path) -> Call:
    def run(*arguments: str, who: str = "", text: str | None = None) -> str:
        env = {"BACKSTAY_APPROVER_TOKEN": token_of(who), "COLUMNS": "80"} if who else {"COLUMNS": "80"}
        result = CliRunner().invoke(cli, ["approve", *arguments], env=env, input=text, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def ids(folder: Path) -> list[str]:
    return (folder / "ids").read_text(encoding="utf-8").splitlines()


def shown(call: Call, held: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("show", held, "--json"))
    return found


def test_what_waits_is_listed_in_eighty_columns_and_cannot_steer_the_terminal(call: Call) -> None:
    listed = call("ls")
    assert max(map(len, listed.splitlines())) <= 80
    assert "3 open" in listed and "0 of 2 finance" in listed
    assert "\x1b" not in listed and "\\u001b" in listed.replace("\n", "").replace(" ", "")


def test_all_of_a_call_is_shown_with_its_digest(call: Call, folder: Path) -> None:
    held = ids(folder)[1]
    text = call("show", held[-8:])
    assert text.startswith("digest ") and held in text
    assert '"to": "\\u001b[2J\\u202eDE"' in text
    assert "has 0 of 2 finance" in text
    content, _ = json.JSONDecoder().raw_decode(text.partition("\n")[2])
    assert content == shown(call, held)["content"]


def test_two_people_approve_by_the_digest_they_were_shown(call: Call, folder: Path) -> None:
    held = ids(folder)[0]
    digest = shown(call, held)["digest"]
    assert "pending, has 1 of 2 finance" in call("approve", held, "--as", "alice", "--digest", digest[:12], who="alice")
    assert "approved" in call("approve", held, "--as", "bob", "--digest", digest, "--reason", "fine", who="bob")
    assert [vote["person"] for vote in shown(call, held)["votes"]] == ["alice", "bob"]
    assert "denied" in call("deny", held, "--as", "alice", "--digest", digest, who="alice")


def test_nobody_decides_unseen_or_under_another_name(call: Call, folder: Path) -> None:
    held = ids(folder)[0]
    digest = shown(call, held)["digest"]
    with pytest.raises(UsageError, match="what were you shown"):
        call("approve", held, "--as", "alice", who="alice")
    for wrong in ("0" * 12, digest[:11]):
        with pytest.raises(BackstayError, match="has the digest"):
            call("approve", held, "--as", "alice", "--digest", wrong, who="alice")
    with pytest.raises(BackstayError, match="no approver 'bob' with this token"):
        call("approve", held, "--as", "bob", "--digest", digest, who="alice")
    assert shown(call, held)["votes"] == []


def test_an_edit_takes_its_place_and_waits_for_policy(call: Call, folder: Path) -> None:
    held = ids(folder)[0]
    digest = shown(call, held)["digest"]
    said = call("edit", held, "--as", "alice", "--digest", digest, "--args", "-", who="alice", text='{"amount": 1}')
    made = said.split("superseded by ")[1].split(",")[0]
    assert shown(call, made)["unchecked"]
    assert '- ["args"]["amount"]: 100\n+ ["args"]["amount"]: 1\n' in call("show", made)
    for bad in ("", "[]", '{"amount": 1}'):
        with pytest.raises(UsageError, match="arguments"):
            call(
                "edit", made, "--as", "bob", "--digest", shown(call, made)["digest"], "--args", "-", who="bob", text=bad
            )


def test_breaking_the_glass_without_a_pager_is_refused(call: Call, folder: Path) -> None:
    held = ids(folder)[0]
    digest = shown(call, held)["digest"]
    with pytest.raises(BackstayError, match="no role that may break_glass"):
        call("break-glass", held, "--as", "alice", "--digest", digest, "--reason", "the house burns", who="alice")


def test_a_new_token_comes_with_the_lines_for_the_file(call: Call) -> None:
    import hashlib

    made = json.loads(call("token", "carol", "--json"))
    assert hashlib.sha256(made["token"].encode()).hexdigest() == made["token_sha256"]
    assert 'token_sha256: "' in call("token", "carol")


@pytest.mark.parametrize(
    ("text", "message"), [("abc", "too short"), ("zzzzzzzz", "0 open approvals"), ("x" * 36, "no approval")]
)
def test_an_id_that_is_none_is_named(call: Call, text: str, message: str) -> None:
    with pytest.raises(BackstayError, match=message):
        call("show", text)


def test_without_a_ledger_the_cure_is_named(call: Call, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no ledger at .*none\.db"):
        call("ls", "--ledger", "none.db")


def test_without_approvers_what_waits_is_listed_and_that_nobody_can_approve(call: Call, folder: Path) -> None:
    (folder / ".backstay" / "approvers.yaml").unlink()
    assert "nobody can approve" in call("ls")
    assert json.loads(call("ls", "--json"))
