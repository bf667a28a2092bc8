"""Signed statements of how long the journal is, kept outside the database: without them a cut tail cannot be seen."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, Engine

from backstay.errors import IntegrityError
from backstay.records import Record, canonical_json, sha256_hex
from backstay.storage.atomic import disk_errors, fsync_path
from backstay.storage.engine import write_transaction
from backstay.storage.journal import Head, hash_at, hashes_after, head, utc_now
from backstay.storage.keys import fingerprint, public_keys, signing_key
from backstay.storage.merkle import RootBuilder

_TAIL_BYTES = 8192


class Seal(Record):
    """What a seal states: the journal had `count` entries and ended with `head_hash`.

    `prev_seal` is the sha256 of the line before, "" for the first; `key` is the fingerprint of the signing key.
    `merkle_root` is the root over the hashes (32 bytes each) of the entries since the seal before; seals made before
    there were roots lack it.
    """

    count: int
    head_hash: str
    merkle_root: str | None = None
    created_at: str
    prev_seal: str
    key: str

    def payload(self) -> dict[str, Any]:
        """What is signed; a seal without a root is signed without that key."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class SealLog:
    """The seals that hold, in order; `problem` says why the next line does not, or why there are none.

    `signatures` are theirs, in the same order.
    """

    seals: tuple[Seal, ...]
    problem: str | None = None
    signatures: tuple[bytes, ...] = ()


class Sealer:
    """Seals the journal of one project with the project's key."""

    def __init__(self, keys_dir: Path, seal_path: Path) -> None:
        self.keys_dir = keys_dir
        self.seal_path = seal_path

    def check(self, connection: Connection) -> None:
        """Refuse to go on when the journal no longer holds what the last seal says of it."""
        line = _last_line(self.seal_path)
        if line is None:
            return
        seal = _statement(line)
        if seal is None or (seal.count and hash_at(connection, seal.count) != seal.head_hash):
            raise IntegrityError(
                f"the journal does not match its last seal in {self.seal_path}",
                cure="run `backstay verify` to see what was changed; nothing is appended until then",
            )

    def seal(self, engine: Engine, *, even_empty: bool = False) -> Seal | None:
        """Append a signed seal of the journal's present end; None when the last seal already says the same.

        With `even_empty` a journal without entries gets its first seal too: who dies before the next one then leaves an
        unsealed tail, and not a journal that no seal speaks of.
        """
        # The write lock of the database also keeps two sealers apart.
        with write_transaction(engine) as connection:
            self.check(connection)
            end = head(connection)
            line = _last_line(self.seal_path)
            last = _statement(line) if line is not None else None
            before = last.count if last else 0
            if before == end.count and not (even_empty and line is None):
                return None
            root = _root(connection, before)
            return self._append(end, root, sha256_hex(line) if line is not None else "")

    def read(self) -> SealLog:
        """Every seal, checked for signature, chain and order."""
        if not self.seal_path.is_file():
            return SealLog((), f"there is no seal file {self.seal_path}")
        return _check_lines(self.seal_path.read_bytes(), public_keys(self.keys_dir))

    def _append(self, end: Head, merkle_root: str, prev_seal: str) -> Seal:
        key = signing_key(self.keys_dir)
        seal = Seal(
            count=end.count,
            head_hash=end.hash,
            merkle_root=merkle_root,
            created_at=utc_now(),
            prev_seal=prev_seal,
            key=fingerprint(key.public_key()),
        )
        signature = base64.b64encode(key.sign(canonical_json(seal.payload()))).decode()
        _append_line(self.seal_path, canonical_json({"statement": seal.payload(), "signature": signature}))
        return seal


def seal(engine: Engine, keys_dir: Path, seal_path: Path) -> Seal | None:
    """Seal the journal once; see Sealer.seal."""
    return Sealer(keys_dir, seal_path).seal(engine)


def signed_by(found: Seal, signature: bytes, key: Ed25519PublicKey) -> bool:
    """Whether the signature is the key's, on this statement."""
    try:
        key.verify(signature, canonical_json(found.payload()))
    except InvalidSignature:
        return False
    return True


def _root(connection: Connection, after: int) -> str:
    """Merkle root over the entries behind entry `after`."""
    builder = RootBuilder()
    for found in hashes_after(connection, after):
        builder.add(bytes.fromhex(found))
    return builder.root().hex()


def _append_line(path: Path, line: bytes) -> None:
    new = not path.exists()
    with disk_errors(path), path.open("ab") as file:
        file.truncate(whole_bytes(path))
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if new:
        fsync_path(path.parent)


def _tail(path: Path) -> tuple[int, bytes]:
    """Where the last bytes of the file start, and they."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL_BYTES)
        file.seek(start)
        return start, file.read()


def whole_bytes(path: Path) -> int:
    """Bytes up to the end of the last whole line: a killed sealer may have left a part of one."""
    start, tail = _tail(path)
    return start + tail.rfind(b"\n") + 1


def _last_line(path: Path) -> bytes | None:
    if not path.exists():
        return None
    whole, newline, _torn = _tail(path)[1].rpartition(b"\n")
    return whole.rpartition(b"\n")[2] if newline else None


def _statement(line: bytes) -> Seal | None:
    parsed = _parse(line)
    return parsed[0] if parsed else None


def _parse(line: bytes) -> tuple[Seal, bytes] | None:
    """The statement and signature of a line; None when it is not a seal."""
    try:
        value: Any = json.loads(line)
        found = Seal.model_validate(value["statement"])
        return found, base64.b64decode(value["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _check_lines(content: bytes, keys: dict[str, Ed25519PublicKey]) -> SealLog:
    whole = content[: content.rfind(b"\n") + 1]
    seals: list[Seal] = []
    signatures: list[bytes] = []
    problem = None
    for number, item in enumerate(_walk(whole, keys), start=1):
        if isinstance(item, str):
            problem = f"seal {number}: {item}"
            break
        seals.append(item[0])
        signatures.append(item[1])
    if problem is None and not seals:
        problem = "the seal file is empty"
    return SealLog(tuple(seals), problem, tuple(signatures))


def _walk(content: bytes, keys: dict[str, Ed25519PublicKey]) -> Iterator[tuple[Seal, bytes] | str]:
    """Each seal with its signature, or the reason why a line is not to be believed."""
    prev_seal, count = "", -1
    for line in content.splitlines():
        parsed = _parse(line)
        if parsed is None:
            yield "is not a seal"
            return
        found, signature = parsed
        yield _fault(found, signature, keys, prev_seal, count) or parsed
        prev_seal, count = sha256_hex(line), found.count


def _fault(found: Seal, signature: bytes, keys: dict[str, Ed25519PublicKey], prev_seal: str, count: int) -> str | None:
    key = keys.get(found.key)
    if key is None:
        return f"was signed with the key {found.key[:16]}, which is not among the project's public keys"
    if not signed_by(found, signature, key):
        return "has a forged or damaged signature"
    if found.prev_seal != prev_seal:
        return "does not follow the seal before it: a seal was removed or put elsewhere"
    return f"states fewer entries ({found.count}) than the seal before it ({count})" if found.count < count else None
