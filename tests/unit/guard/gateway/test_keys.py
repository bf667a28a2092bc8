"""Virtual keys: known by their digest, scoped, expiring; a file that breaks changes nothing."""

import os
from pathlib import Path

import pytest

from backstay.errors import UsageError
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.keys import KeyRing, add_key, digest_of, read_keys, remove_key


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_a_new_key_is_known_and_only_its_digest_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    token = add_key(path, "agent", roles=("support",), owner="ann")
    assert token not in path.read_text() and f"sha256:{digest_of(token)}" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    principal = KeyRing(path).principal(bearer(token))
    assert (principal.id, principal.roles, principal.owner) == ("agent", ("support",), "ann")


@pytest.mark.parametrize("sent", [None, "", "Bearer ", "Basic abc", "Bearer wrong", "Bearer bk-\ud800"])
def test_whoever_has_no_key_is_told_so(tmp_path: Path, sent: str | None) -> None:
    path = tmp_path / "keys.yaml"
    add_key(path, "agent")
    with pytest.raises(ApiFault) as caught:
        KeyRing(path).principal(sent)
    assert caught.value.status == 401


def test_a_key_expires_to_the_second(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    token = add_key(path, "agent", expires="2026-01-01T00:00:10Z")
    now = 1767225609.9
    ring = KeyRing(path, lambda: now)
    assert ring.principal(bearer(token)).id == "agent"
    now = 1767225610.0
    with pytest.raises(ApiFault, match="expired"):
        ring.principal(bearer(token))


def test_scopes(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    token = add_key(path, "agent", models=("small-*",), endpoints=("chat",))
    principal = KeyRing(path).principal(bearer(token))
    assert principal.may_use("chat", "small-1")
    assert not principal.may_use("chat", "large-1")
    assert not principal.may_use("responses", "small-1")


def test_a_changed_file_counts_and_a_broken_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    first = add_key(path, "one")
    ring = KeyRing(path)
    second = add_key(path, "two")
    assert ring.refresh() and ring.principal(bearer(second)).id == "two"
    path.write_text("keys: [")
    os.utime(path, ns=(1, 1))
    assert not ring.refresh() and ring.problem
    assert ring.principal(bearer(first)).id == "one"
    path.unlink()
    assert not ring.refresh() and ring.principal(bearer(first)).id == "one"


def test_a_removed_key_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    token = add_key(path, "one")
    add_key(path, "two")
    ring = KeyRing(path)
    remove_key(path, "one")
    ring.refresh()
    with pytest.raises(ApiFault):
        ring.principal(bearer(token))
    with pytest.raises(UsageError, match="has no key"):
        remove_key(path, "one")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("keys: [{id: a}]", "token"),
        ("keys: [{id: a, token: abc}]", "token"),
        ("keys: [{id: a, token: 'sha256:" + "0" * 64 + "', rolls: [x]}]", "rolls"),
        ("keys: [{id: a, token: 'sha256:" + "0" * 64 + "', expires: 2026-01-01T00:00:00}]", "expires"),
        ("keys: [{id: a, token: 'sha256:" + "0" * 64 + "'}, {id: b, token: 'sha256:" + "0" * 64 + "'}]", "twice"),
    ],
)
def test_faults_of_the_file_are_named(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=word):
        read_keys(path)


def test_a_name_stands_there_once(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.yaml", "agent")
    with pytest.raises(UsageError, match="twice"):
        add_key(tmp_path / "keys.yaml", "agent")
