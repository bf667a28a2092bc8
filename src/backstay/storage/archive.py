"""The file of a backup: a tar of small packed members, and last a signed manifest of their digests.

Only plain members under the names below are ever read, and nothing is unpacked to a path that the file names.
"""

import base64
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from backstay.errors import IntegrityError
from backstay.records import Record, canonical_json
from backstay.storage.keys import fingerprint

FORMAT = "backstay-backup/1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
MAX_RAW = 64 * 1024 * 1024
"""Bytes of a member when unpacked."""

_BLOCK = 512
_PIECE = 1024 * 1024
_LIMITS = (
    (re.compile(r"rows/[a-z][a-z0-9_]{0,62}/[0-9]{6}\.gz"), MAX_RAW),
    (re.compile(r"seals/[0-9]{6}\.gz"), MAX_RAW),
    (re.compile(r"keys/[A-Za-z0-9][A-Za-z0-9_-]{0,80}\.(?:pub|pem|key)"), 64 * 1024),
    (re.compile(re.escape(MANIFEST)), 32 * 1024 * 1024),
    (re.compile(re.escape(SIGNATURE)), 4096),
)
_CURE = "take another backup; this file was damaged or made by somebody else"


class Member(Record):
    """Size and sha256 of a member as it stands in the file."""

    size: int
    sha256: str


class Rows(Record):
    """Columns of a table with their kinds, and how many rows were saved."""

    columns: tuple[tuple[str, str], ...]
    count: int


class Manifest(Record):
    """What a backup holds: everything else in the file, by digest.

    `revision` is the schema's; `entries` and `head_hash` say where the journal ended; `raw_bytes` is the unpacked size.
    """

    format: str
    created_at: str
    revision: str
    source: str
    entries: int
    head_hash: str
    private_keys: bool
    raw_bytes: int
    tables: dict[str, Rows]
    members: dict[str, Member]


class ArchiveWriter:
    """Writes members in order; `raw_bytes` counts what was packed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.members: dict[str, Member] = {}
        self.raw_bytes = 0

    def add(self, name: str, content: bytes) -> None:
        """Write a member as it stands."""
        header = tarfile.TarInfo(name)
        header.size, header.mode = len(content), 0o600
        self._file.write(header.tobuf(tarfile.USTAR_FORMAT))
        self._file.write(content)
        self._file.write(b"\0" * (-len(content) % _BLOCK))
        self.members[name] = Member(size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def pack(self, name: str, content: bytes) -> None:
        """Write a packed member."""
        self.raw_bytes += len(content)
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.add(name, packer.compress(content) + packer.flush())

    def finish(self, manifest: Manifest, key: Ed25519PrivateKey) -> None:
        """Write the manifest, its signature and the end."""
        content = canonical_json(manifest.payload())
        signature = base64.b64encode(key.sign(content)).decode()
        self.add(MANIFEST, content)
        self.add(SIGNATURE, canonical_json({"key": fingerprint(key.public_key()), "signature": signature}))
        self._file.write(b"\0" * (2 * _BLOCK))


@dataclass(frozen=True)
class Archive:
    """A file whose structure and digests hold; `key` is the fingerprint of who signed, not yet whom to trust."""

    file: BinaryIO
    manifest: Manifest
    key: str
    places: Mapping[str, int]
    _signed: bytes
    _signature: bytes

    def check_signature(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        """Raise IntegrityError unless one of these keys, by fingerprint, signed the manifest."""
        if self.key not in keys:
            raise IntegrityError(
                f"the backup is signed with the key {self.key[:16]}, which is not among the trusted ones",
                cure=f"where it is known to be right: --trust-key {self.key}",
            )
        try:
            keys[self.key].verify(self._signature, self._signed)
        except InvalidSignature:
            raise IntegrityError("the backup has a forged or damaged signature", cure=_CURE) from None

    def read(self, name: str) -> bytes:
        """A member as it stands, compared with its digest once more: the file may change while it is read."""
        member = self.manifest.members[name]
        self.file.seek(self.places[name])
        content = self.file.read(member.size)
        if hashlib.sha256(content).hexdigest() != member.sha256:
            _refuse(f"{name} changed while it was read")
        return content

    def unpack(self, name: str) -> bytes:
        """A packed member's content."""
        unpacker = zlib.decompressobj(31)
        try:
            content = unpacker.decompress(self.read(name), MAX_RAW)
        except zlib.error as error:
            _refuse(f"{name} cannot be unpacked: {error}")
        if not unpacker.eof or unpacker.unused_data:
            _refuse(f"{name} is cut off, or unpacks to more than {MAX_RAW} bytes")
        return content

    def named(self, prefix: str) -> list[str]:
        """Members whose names start so, in order."""
        return sorted(name for name in self.manifest.members if name.startswith(prefix))


def read_archive(file: BinaryIO) -> Archive:
    """Check structure and digests of a backup; raises IntegrityError for anything but a whole file of ours."""
    found: dict[str, Member] = {}
    places: dict[str, int] = {}
    for name, size in _headers(file):
        if name in found:
            _refuse(f"{name} stands in it twice")
        places[name] = file.tell()
        found[name] = Member(size=size, sha256=_digest(file, size))
        file.seek(places[name] + size + -size % _BLOCK)
    if list(found)[-2:] != [MANIFEST, SIGNATURE]:
        _refuse("it does not end with a signed manifest")
    content, signature = (_content(file, places[name], found[name].size) for name in (MANIFEST, SIGNATURE))
    manifest = _manifest(content)
    del found[MANIFEST], found[SIGNATURE]
    odd = sorted(found.keys() ^ manifest.members.keys())
    odd += sorted(name for name in found.keys() & manifest.members.keys() if found[name] != manifest.members[name])
    if odd:
        _refuse(f"{odd[0]} is not what the manifest says")
    key, signed = _signature(signature)
    return Archive(file, manifest, key, places, content, signed)


def _headers(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Names and sizes in order. Pax and GNU headers, whose sizes a reader has to believe, are no part of the format."""
    while True:
        block = file.read(_BLOCK)
        if block == b"\0" * _BLOCK:
            if file.read(_BLOCK + 1) != block:
                _refuse("something follows its end")
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeError, ValueError) as error:
            _refuse(f"at byte {file.tell() - len(block)} is no member: {error}")
        limit = next((most for pattern, most in _LIMITS if pattern.fullmatch(header.name)), None)
        if limit is None or header.type != tarfile.REGTYPE or header.linkname:
            _refuse(f"{header.name[:80]!r} is no member of a backup")
        if not 0 <= header.size <= limit:
            _refuse(f"{header.name} has {header.size} bytes, more than the {limit} that such a member can have")
        yield header.name, header.size


def _digest(file: BinaryIO, size: int) -> str:
    digest, left = hashlib.sha256(), size
    while left:
        piece = file.read(min(left, _PIECE))
        if not piece:
            _refuse("it is cut off")
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def _content(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _manifest(content: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError):
        _refuse("its manifest cannot be read")
    if manifest.format != FORMAT:
        _refuse(f"its format is {manifest.format[:40]!r}, not {FORMAT}")
    return manifest


def _signature(content: bytes) -> tuple[str, bytes]:
    try:
        value: Any = json.loads(content)
        return str(value["key"]), base64.b64decode(value["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        _refuse("its signature cannot be read")


def _refuse(what: str) -> NoReturn:
    raise IntegrityError(f"this is no sound backup: {what}", cure=_CURE)
