"""Proofs that one entry stood in the journal when it was sealed, to be checked by whoever has the public key only."""

import base64
from collections.abc import Iterator, Mapping
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from backstay.errors import UsageError
from backstay.records import Record
from backstay.storage.journal import entry_at, entry_hash, hashes_after
from backstay.storage.merkle import check_proof, proof
from backstay.storage.seal import Seal, SealLog, signed_by


class Inclusion(Record):
    """An entry, its place under the Merkle root of a seal, and the signed seal.

    `body` is the entry's payload as it stands. The entry is leaf `index` of `size`; `path` holds the hashes beside the
    way up, lowest first, as hex.
    """

    seq: int
    kind: str
    body: str
    prev_hash: str
    index: int
    size: int
    path: tuple[str, ...]
    seal: Seal
    signature: str


def prove_inclusion(connection: Connection, log: SealLog, seq: int) -> Inclusion:
    """Prove entry `seq` from the first seal that covers it; raises UsageError where there is no such seal or root."""
    entry = entry_at(connection, seq)
    if entry is None:
        raise UsageError(f"the journal has no entry {seq}")
    for first, found, signature in _intervals(log):
        if seq > found.count:
            continue
        if found.merkle_root is None:
            raise UsageError(f"entry {seq} was sealed before seals had Merkle roots; it cannot be proven alone")
        leaves = _leaves(connection, first, found.count)
        path = tuple(beside.hex() for beside in proof(leaves, seq - first))
        return Inclusion(
            seq=seq,
            kind=entry.kind,
            body=entry.payload,
            prev_hash=entry.prev_hash,
            index=seq - first,
            size=len(leaves),
            path=path,
            seal=found,
            signature=base64.b64encode(signature).decode(),
        )
    raise UsageError(f"entry {seq} is not sealed yet", cure="wait for the next seal, or end the process that writes")


def inclusion_fault(given: Inclusion, keys: Mapping[str, Ed25519PublicKey]) -> str | None:
    """Why a proof does not hold, None when it does; `keys` are the trusted public keys by fingerprint."""
    key = keys.get(given.seal.key)
    if key is None:
        return f"the seal is signed with the key {given.seal.key[:16]}, which is not trusted"
    try:
        signature = base64.b64decode(given.signature, validate=True)
        path, root = [bytes.fromhex(beside) for beside in given.path], bytes.fromhex(given.seal.merkle_root or "")
    except ValueError as error:
        return f"the proof is damaged: {error}"
    if not signed_by(given.seal, signature, key):
        return "the seal has a forged or damaged signature"
    if given.seq != given.seal.count - given.size + 1 + given.index:
        return (
            f"entry {given.seq} is not number {given.index} of the {given.size} entries that end at {given.seal.count}"
        )
    leaf = bytes.fromhex(entry_hash(given.seq, given.kind, given.body, given.prev_hash))
    return None if check_proof(leaf, given.index, given.size, path, root) else "the entry is not under the seal's root"


def _intervals(log: SealLog) -> Iterator[tuple[int, Seal, bytes]]:
    """Each seal with the first entry that it adds, and its signature."""
    before = pairwise([0, *(found.count for found in log.seals)])
    for (count, _), found, signature in zip(before, log.seals, log.signatures, strict=True):
        yield count + 1, found, signature


def _leaves(connection: Connection, first: int, last: int) -> list[bytes]:
    leaves = []
    for found in hashes_after(connection, first - 1):
        leaves.append(bytes.fromhex(found))
        if len(leaves) == last - first + 1:
            break
    return leaves
