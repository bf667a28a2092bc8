"""Roots in seals, and proofs of single entries that need the public key only."""

import base64
import json
from pathlib import Path

import pytest
from databases import Database
from sqlalchemy import text

from backstay.errors import UsageError
from backstay.records import canonical_json, sha256_hex
from backstay.storage import Inclusion, Store, inclusion_fault, prove_inclusion
from backstay.storage.keys import public_keys, signing_key
from backstay.storage.merkle import root


def proven(store: Store, seq: int) -> Inclusion:
    with store.engine.connect() as connection:
        return prove_inclusion(connection, store.sealer.read(), seq)


def hashes(store: Store, first: int, last: int) -> list[bytes]:
    query = text("SELECT hash FROM journal WHERE seq BETWEEN :first AND :last ORDER BY seq")
    with store.engine.connect() as connection:
        return [bytes.fromhex(found) for found in connection.execute(query, {"first": first, "last": last}).scalars()]


def review(store: Store, times: int = 1) -> None:
    with store.repository.batch() as batch:
        for number in range(times):
            batch.add_review(f"pair-{number}", "release", "Ann", "fine")


def resign(store: Store, line: bytes, **changes: object) -> bytes:
    """The seal with other words, signed by the project's own key."""
    statement = {**json.loads(line)["statement"], **changes}
    statement = {name: value for name, value in statement.items() if value is not None}
    signature = signing_key(store.sealer.keys_dir).sign(canonical_json(statement))
    return canonical_json({"statement": statement, "signature": base64.b64encode(signature).decode()}) + b"\n"


def test_a_seal_states_the_root_over_the_entries_since_the_seal_before(store: Store) -> None:
    review(store, 3)
    first, second = store.sealer.read().seals
    assert (first.count, second.count) == (4, 7)
    assert first.merkle_root == root(hashes(store, 1, 4)).hex()
    assert second.merkle_root == root(hashes(store, 5, 7)).hex()


@pytest.mark.parametrize("seq", range(1, 8))
def test_every_sealed_entry_can_be_proven_without_the_database(store: Store, seq: int) -> None:
    review(store, 3)
    given = Inclusion.from_json(proven(store, seq).to_json())
    assert (given.size, given.index) == ((4, seq - 1) if seq <= 4 else (3, seq - 5))
    assert inclusion_fault(given, public_keys(store.sealer.keys_dir)) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"body": "{}"}, "not under the seal's root"),
        ({"seq": 6}, "entry 6 is not number 0"),
        ({"index": 1, "seq": 6}, "not under the seal's root"),
        ({"path": ("00" * 32,)}, "not under the seal's root"),
        ({"path": ("zz",)}, "damaged"),
        ({"signature": base64.b64encode(b"x" * 64).decode()}, "forged"),
    ],
)
def test_a_bent_proof_is_refused(store: Store, change: dict[str, object], fault: str) -> None:
    review(store, 3)
    given = proven(store, 5).model_copy(update=change)
    assert fault in str(inclusion_fault(given, public_keys(store.sealer.keys_dir)))


def test_a_key_that_is_not_trusted_proves_nothing(store: Store) -> None:
    assert "not trusted" in str(inclusion_fault(proven(store, 1), {}))


def test_seals_without_roots_still_verify_and_prove_nothing(store: Store) -> None:
    path = store.sealer.seal_path
    path.write_bytes(resign(store, path.read_bytes().splitlines()[0], merkle_root=None))
    assert store.verify().ok
    assert store.sealer.read().seals[0].merkle_root is None
    review(store)
    assert store.verify().sealed_entries == 5
    assert store.sealer.read().seals[1].merkle_root == root(hashes(store, 5, 5)).hex()
    with pytest.raises(UsageError, match="before seals had Merkle roots"):
        proven(store, 2)
    assert proven(store, 5).size == 1


def test_verify_names_a_seal_with_another_root(store: Store) -> None:
    path = store.sealer.seal_path
    path.write_bytes(resign(store, path.read_bytes().splitlines()[0], merkle_root=sha256_hex(b"")))
    assert store.verify().broken == "the seal of 4 entries states another Merkle root than its entries have"


def test_entries_that_do_not_exist_or_are_not_sealed_are_named(store: Store) -> None:
    with Store(store.folder.parent, seal=False) as unsealed:
        unsealed.repository.add_review("pair-1", "release", "Ann", "fine")
    with pytest.raises(UsageError, match="entry 5 is not sealed yet"):
        proven(store, 5)
    with pytest.raises(UsageError, match="no entry 6"):
        proven(store, 6)


def test_a_journal_can_be_sealed_before_its_first_entry(tmp_path: Path, database: Database) -> None:
    with Store(tmp_path, create=True) as store:
        first = store.sealer.seal(store.engine, even_empty=True)
        assert first is not None
        assert (first.count, first.merkle_root) == (0, sha256_hex(b""))
        assert store.sealer.seal(store.engine, even_empty=True) is None
        store.repository.add_review("pair-1", "release", "Ann", "fine")
        assert [seal.count for seal in store.sealer.read().seals] == [0, 1]
        assert store.verify().ok
        assert proven(store, 1).size == 1
