import base64
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from databases import Database

from backstay.errors import IntegrityError
from backstay.records import canonical_json
from backstay.storage import Store
from backstay.storage.keys import fingerprint, public_keys, signing_key


def lines(store: Store) -> list[bytes]:
    return store.sealer.seal_path.read_bytes().splitlines()


def test_key_is_private_and_made_once(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    first = fingerprint(signing_key(keys).public_key())
    assert fingerprint(signing_key(keys).public_key()) == first
    assert stat.S_IMODE((keys / "journal.pem").stat().st_mode) == 0o600
    assert list(public_keys(keys)) == [first]
    assert sorted(path.name for path in keys.iterdir()) == [f"journal-{first[:16]}.pub", "journal.pem"]


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / "journal.pem").chmod(0o640)
    with pytest.raises(IntegrityError, match=r"open to others \(mode 0640\)\n  cure: chmod 600"):
        signing_key(tmp_path)


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / "journal.pem").write_text("nothing")
    with pytest.raises(IntegrityError, match=r"journal\.pem is not a private key"):
        signing_key(tmp_path)
    next(tmp_path.glob("*.pub")).write_text("nothing")
    with pytest.raises(IntegrityError, match=r"\.pub is not a public key"):
        public_keys(tmp_path)


def test_seal_states_the_head_and_is_signed(store: Store) -> None:
    store.repository.add_review("pair-1", "release", "Ann", "fine")
    log = store.sealer.read()
    assert log.problem is None
    assert [seal.count for seal in log.seals] == [4, 5]
    last = json.loads(lines(store)[-1])
    [public] = store.sealer.keys_dir.glob("*.pub")
    key = load_pem_public_key(public.read_bytes())
    key.verify(base64.b64decode(last["signature"]), canonical_json(last["statement"]))  # type: ignore[union-attr, call-arg]  # Ed25519 among many key types


def test_sealing_again_adds_nothing(store: Store) -> None:
    before = lines(store)
    assert store.seal() is None
    assert lines(store) == before


def test_empty_journal_has_nothing_to_seal(tmp_path: Path, database: Database) -> None:
    with Store(tmp_path, create=True) as store:
        assert store.seal() is None
        assert not store.sealer.seal_path.exists()
        assert store.verify().ok


def test_unsealed_tail_is_fine_but_counted(tmp_path: Path, store: Store) -> None:
    with Store(tmp_path, seal=False) as unsealed:
        unsealed.repository.add_review("pair-1", "release", "Ann", "fine")
        report = unsealed.verify()
    assert (report.ok, report.entries, report.sealed_entries, report.unsealed_entries) == (True, 5, 4, 1)
    sealed = store.seal()
    assert sealed is not None
    assert sealed.count == 5
    assert store.verify().unsealed_entries == 0


def test_seal_line_torn_by_a_kill_is_cut_off(store: Store) -> None:
    with store.sealer.seal_path.open("ab") as file:
        file.write(b'{"statement":{"count":')
    assert store.verify().ok
    store.repository.add_review("pair-1", "release", "Ann", "fine")
    assert [json.loads(line)["statement"]["count"] for line in lines(store)] == [4, 5]
    assert store.verify() == store.verify().__class__(entries=5, sealed_entries=5, broken=None)


def test_seals_of_a_retired_key_still_hold(store: Store) -> None:
    (store.sealer.keys_dir / "journal.pem").unlink()
    store.repository.add_review("pair-1", "release", "Ann", "fine")
    log = store.sealer.read()
    assert log.problem is None
    assert len({seal.key for seal in log.seals}) == 2


def test_full_disk_while_sealing_leaves_an_unsealed_tail(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Exception, match="no space left"):
            store.repository.add_review("pair-1", "release", "Ann", "fine")
    assert store.verify().ok
    assert len(store.repository.reviews()) == 1
    assert store.verify().entries == 5
