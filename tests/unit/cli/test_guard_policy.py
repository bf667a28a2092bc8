import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from policy_texts import as_yaml, bundle, call, rule
from recorded_traffic import ledger, payload
from signed_policies import pay_up_to

from backstay.cli.main import cli
from backstay.errors import BackstayError, IntegrityError, UsageError
from backstay.guard.audit import AuditLog
from backstay.guard.ledger import Ledger
from backstay.policy.bundle_file import open_signed
from backstay.storage.keys import public_keys

OLD = [rule("small", "permit", "args.amount <= 50"), rule("trial", when="args.amount > 25", mode="shadow")]


def guard(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["guard", *map(str, arguments)])


def said(*arguments: Any, code: int = 0) -> str:
    found = guard(*arguments)
    assert found.exit_code == code, found.exception
    assert max(len(line) for line in found.output.splitlines() if not line.startswith("/")) <= 80
    return found.output


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    policy = bundle(OLD)
    rows = [payload(policy, call(args={"amount": n}), f"decision-{n}") for n in (10, 20, 30, 60)]
    return ledger(tmp_path / "guard.db", [*rows, payload(policy, call(args={"amount": 5}), "digest-only", "digests")])


def written(path: Path, rules: list[dict[str, Any]]) -> Path:
    path.write_text(as_yaml(rules))
    return path


def test_a_bundle_is_signed_with_the_key_of_a_folder_and_opens_with_it(tmp_path: Path) -> None:
    policy, output, keys = tmp_path / "pay.yaml", tmp_path / "pay.bundle", tmp_path / "keys"
    policy.write_text(pay_up_to(50))
    found = json.loads(guard("bundle", policy, "-o", output, "--version", 3, "--key-dir", keys, "--json").output)
    opened = open_signed(output, public_keys(keys))
    assert (found["version"], found["policy"], found["key"]) == (3, opened.bundle.hash, opened.statement.key)
    assert "files" not in found
    text = said("bundle", policy, "-o", output, "--version", 4, "--key-dir", keys, "--valid-days", 1)
    assert "version 4 of policy" in text
    assert "1 tests passed, 0 warnings; expires 2" in text


def test_a_policy_that_fails_is_not_written(tmp_path: Path) -> None:
    policy, output = tmp_path / "pay.yaml", tmp_path / "pay.bundle"
    policy.write_text(pay_up_to(50, expect="deny"))
    found = guard("bundle", policy, "-o", output, "--version", 3, "--key-dir", tmp_path / "keys")
    assert isinstance(found.exception, UsageError)
    assert not output.exists()
    assert guard("bundle", policy, "-o", output, "--key-dir", tmp_path).exit_code == 2


def test_replay_tells_the_difference_in_words_and_in_json(tmp_path: Path, recorded: Path) -> None:
    new = written(tmp_path / "new.yaml", [rule("small", "permit", "args.amount <= 20")])
    text = said("replay", "--policy", new, recorded)
    assert "5 decisions: 3 stay, 1 change, 1 are unknown" in text
    assert "newly denied, allowed before: 1\n      decision-30\n  by (default): 1" in text
    assert "no longer by small: 1" in text
    assert "arguments are recorded as digests only: 1\n      digest-only" in text
    assert "chain verified" in text
    found = json.loads(guard("replay", "--policy", new, recorded, "--json").output)
    assert (found["same"], found["changed"], found["unknown"], found["journal"]["entries"]) == (3, 1, 1, 10)
    assert found["journal"]["head"] in text
    assert found["policy"] in text


def test_strict_replay_fails_on_any_difference(tmp_path: Path, recorded: Path) -> None:
    same = written(tmp_path / "same.yaml", OLD)
    said("replay", "--policy", same, "--strict", recorded)
    new = written(tmp_path / "new.yaml", [rule("small", "permit", "args.amount <= 20")])
    said("replay", "--policy", new, "--strict", recorded, code=1)


def test_replay_against_another_policy_compares_the_two(tmp_path: Path, recorded: Path) -> None:
    new = written(tmp_path / "new.yaml", [rule("small", "permit", "args.amount <= 20")])
    other = written(tmp_path / "other.yaml", [rule("digests")])
    found = json.loads(guard("replay", "--policy", new, "--against", other, recorded, "--json").output)
    assert found["against"] == bundle([rule("digests")]).hash
    assert found["before"] == {"deny": 4}
    assert found["after"] == {"allow": 2, "deny": 2}


def test_shadow_tells_what_was_recorded_and_what_a_candidate_had_done(tmp_path: Path, recorded: Path) -> None:
    text = said("shadow", recorded)
    assert "5 decisions asked rules in shadow mode" in text
    assert "1 would have changed from allow to deny" in text
    assert "trial: asked 5, applied 2; alone it would have\n  denied 1\n      decision-30" in text
    same = written(tmp_path / "same.yaml", OLD)
    text = said("shadow", "--policy", same, recorded)
    assert "5 decisions: 4 stay, 1 change, 0 are unknown" in text
    assert "by trial: 1" in text
    found = json.loads(guard("shadow", "--policy", same, recorded, "--json").output)
    assert found["recorded"]["rules"]["trial"]["would_deny"]["count"] == 1
    assert found["enforced"]["changed"] == 1


def test_an_export_replays_like_the_ledger(tmp_path: Path, recorded: Path) -> None:
    output = tmp_path / "decisions.jsonl"
    assert said("export", recorded, "-o", output).startswith(f"{output}\n5 decisions\n")
    new = written(tmp_path / "new.yaml", [rule("small", "permit", "args.amount <= 20")])
    direct, exported = (guard("replay", "--policy", new, source, "--json").output for source in (recorded, output))
    assert json.loads(direct) == json.loads(exported)


def test_mistakes_end_with_a_clear_error(tmp_path: Path, recorded: Path) -> None:
    new = written(tmp_path / "new.yaml", [rule("small", "permit", "args.amount <= 20")])
    assert isinstance(guard("replay", "--policy", new, tmp_path / "digests").exception, UsageError)
    assert isinstance(guard("replay", "--policy", tmp_path / "digests", recorded).exception, BackstayError)
    broken = tmp_path / "decisions.jsonl"
    guard("export", recorded, "-o", broken)
    broken.write_bytes(broken.read_bytes().replace(b"decision-30", b"decision-31"))
    assert isinstance(guard("replay", "--policy", new, broken).exception, IntegrityError)
    assert "not verified" in said("replay", "--policy", new, "--no-verify", broken)


def test_what_the_audit_writes_to_a_ledger_is_replayed(tmp_path: Path) -> None:
    policy, path = bundle(OLD), tmp_path / "guard.db"
    with Ledger.open(path, keys_dir=tmp_path / "keys") as opened:
        for contents in ("full", "redacted", "digests"):
            log = AuditLog(opened, contents)
            for amount in (10, 30):
                asked = call(args={"amount": amount})
                log.decision(asked, policy.decide(asked), exchange="e", session="s", cost_us=1).result(10)
    new = written(tmp_path / "new.yaml", [rule("small", "permit", "args.amount <= 20")])
    found = json.loads(guard("replay", "--policy", new, path, "--json").output)
    assert (found["decisions"], found["same"], found["changed"], found["unknown"]) == (6, 1, 1, 4)
    assert [(reason, tally["count"]) for reason, tally in found["unknown_because"].items()] == [
        ("arguments are recorded as digests only", 2),
        ("arguments are recorded redacted or masked", 2),
    ]
    same = written(tmp_path / "same.yaml", OLD)
    found = json.loads(guard("replay", "--policy", same, path, "--strict", "--json").output)
    assert (found["same"], found["not_reproduced"]["count"]) == (6, 0)
