import json
from datetime import timedelta
from pathlib import Path

import pytest
from policy_texts import as_yaml, call, rule
from signed_policies import KEY, NOW, OTHER_KEY, pay_up_to, trusted, write_signed

from backstay.errors import IntegrityError, UsageError
from backstay.policy.accepted_version import Accepted, accept
from backstay.policy.bundle_file import open_signed, sign_policy
from backstay.policy.policy_texts import PolicyText, compile_texts
from backstay.records import canonical_json, content_hash, sha256_hex
from backstay.storage.keys import fingerprint


def test_a_signed_policy_decides_as_its_texts_do(tmp_path: Path) -> None:
    found = open_signed(write_signed(tmp_path / "p.bundle", version=7), trusted(KEY), now=NOW)
    assert found.bundle.hash == compile_texts([PolicyText("x", pay_up_to(50))]).hash == found.statement.policy
    assert [found.bundle.decide(call(args={"amount": n})).effect for n in (50, 51)] == ["allow", "deny"]
    assert (found.statement.version, found.statement.cases, found.statement.warnings) == (7, 1, 0)
    assert found.statement.created_at == "2026-03-01T12:00:00Z"
    assert found.statement.expires_at is None


def test_the_file_holds_the_exact_bytes_their_hash_and_a_signature_that_another_reader_can_check(
    tmp_path: Path,
) -> None:
    text = pay_up_to(50) + "\r\n# caf\u00e9 \u2028\n"
    data = sign_policy((PolicyText("a.yaml", text),), KEY, 1, now=NOW)
    written = json.loads(data)
    (file,) = written["statement"]["files"]
    assert file == {"name": "a.yaml", "text": text, "sha256": sha256_hex(text.encode())}
    assert written["statement"]["key"] == fingerprint(KEY.public_key())
    import base64

    message = b"backstay.policy-bundle 1\n" + canonical_json(written["statement"])
    KEY.public_key().verify(base64.b64decode(written["signature"]), message)


def test_the_same_policy_signed_twice_is_the_same_file() -> None:
    texts = (PolicyText("a.yaml", pay_up_to(50)),)
    assert sign_policy(texts, KEY, 1, now=NOW) == sign_policy(texts, KEY, 1, now=NOW)


def test_a_policy_that_fails_its_tests_or_lint_is_not_signed() -> None:
    with pytest.raises(UsageError, match="test pay, case 1"):
        sign_policy((PolicyText("a", pay_up_to(50, expect="deny")),), KEY, 1, now=NOW)
    with pytest.raises(UsageError, match="lint open"):
        sign_policy((PolicyText("a", as_yaml([rule("open", "permit")])),), KEY, 1, now=NOW)


def test_a_version_below_one_or_a_time_beyond_the_calendar_is_refused() -> None:
    texts = (PolicyText("a", pay_up_to(50)),)
    with pytest.raises(UsageError, match="version"):
        sign_policy(texts, KEY, 0, now=NOW)
    with pytest.raises(UsageError, match="cannot be written"):
        sign_policy(texts, KEY, 1, now=NOW, valid_days=1e9)


def test_an_unknown_key_is_refused_and_named(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "p.bundle", key=OTHER_KEY)
    other = fingerprint(OTHER_KEY.public_key())[:16]
    with pytest.raises(IntegrityError, match=f"key {other}, which is not trusted"):
        open_signed(path, trusted(KEY), now=NOW)
    with pytest.raises(IntegrityError, match="trusted: none"):
        open_signed(path, {}, now=NOW)


def test_a_key_filed_under_a_foreign_fingerprint_is_not_believed(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "p.bundle", key=OTHER_KEY)
    with pytest.raises(IntegrityError, match="not trusted"):
        open_signed(path, {fingerprint(OTHER_KEY.public_key()): KEY.public_key()}, now=NOW)


def test_it_holds_until_it_expires(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "p.bundle", valid_days=2)
    open_signed(path, trusted(KEY), now=NOW + timedelta(days=2, seconds=-1))
    with pytest.raises(IntegrityError, match="expired at 2026-03-03T12:00:00Z"):
        open_signed(path, trusted(KEY), now=NOW + timedelta(days=2))


def test_a_lower_version_than_the_last_accepted_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    fifth = open_signed(write_signed(tmp_path / "5", version=5), trusted(KEY), state=state, now=NOW)
    assert not state.exists()
    accept(state, Accepted(version=5, digest=fifth.digest))
    assert fifth.digest == content_hash(fifth.statement.model_dump(mode="json"))
    open_signed(tmp_path / "5", trusted(KEY), state=state, now=NOW)
    open_signed(write_signed(tmp_path / "6", version=6), trusted(KEY), state=state, now=NOW)
    with pytest.raises(IntegrityError, match="version 4 is older than 5"):
        open_signed(write_signed(tmp_path / "4", version=4), trusted(KEY), state=state, now=NOW)
    with pytest.raises(IntegrityError, match="version 5 was accepted already with other contents"):
        open_signed(write_signed(tmp_path / "5b", version=5, most=51), trusted(KEY), state=state, now=NOW)


def test_a_missing_file_is_a_mistake_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no policy bundle"):
        open_signed(tmp_path / "none", trusted(KEY))
