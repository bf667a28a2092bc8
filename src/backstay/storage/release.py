"""Signed releases: which files a model is made of, by hash, in a DSSE envelope with one Ed25519 signature.

The payload is an in-toto Statement v1. Its subjects are named `runs/RUN/...` and `base/...`; where these two folders
are differs from machine to machine and is not signed.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backstay.errors import IntegrityError
from backstay.records import canonical_json, file_sha256, sha256_hex
from backstay.storage.keys import fingerprint

RELEASE = "release.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:backstay:release:v1"
MAX_BYTES = 16_000_000
MANIFEST_NAME = "manifest.json"
SIGN_AGAIN = "sign it: backstay guard sign-release RUN --key-dir DIR"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Gate(_Closed):
    """A gate that let the model through, with what it measured."""

    passed: Literal[True]
    value: float | int | str | None = None


class Release(_Closed):
    """What is signed, besides the hashes of the files."""

    run: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")
    manifest: Digest
    """SHA-256 of the run's manifest.json."""
    gates: dict[str, Gate]
    created_at: Moment
    expires_at: Moment
    key: Digest
    """Fingerprint of the signing key."""


class _Signature(_Closed):
    keyid: Digest
    sig: str


class _Envelope(_Closed):
    payloadType: Literal["application/vnd.in-toto+json"]
    payload: str
    signatures: tuple[_Signature] = Field(strict=False)


class _Sha256(_Closed):
    sha256: Digest


class _Subject(_Closed):
    name: str
    digest: _Sha256


class _Statement(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject, ...] = Field(strict=False, min_length=1)
    predicateType: Literal["urn:backstay:release:v1"]
    predicate: Release


@dataclass(frozen=True)
class SignedRelease:
    """A release whose signature holds; `digest` is the SHA-256 of what is signed."""

    release: Release
    files: Mapping[str, str]
    """Hash of each file, by name."""
    digest: str

    @property
    def runs(self) -> frozenset[str]:
        """The runs of which it holds files."""
        return frozenset(name.split("/")[1] for name in self.files if name.startswith("runs/"))

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return _moment(self.release.expires_at) <= now


@dataclass(frozen=True)
class ModelFolders:
    """Where the files of a release are here."""

    runs: Path
    base: Path

    def place(self, name: str) -> Path:
        """The path of a file by its name in a release."""
        root, _, rest = name.partition("/")
        return {"runs": self.runs, "base": self.base}[root] / rest

    def files(self, runs: Iterable[str]) -> Iterator[str]:
        """Names of all files that there are of these runs' models and of the base."""
        for run in runs:
            yield f"runs/{run}/{MANIFEST_NAME}"
            yield from _names(f"runs/{run}/model", self.runs / run / "model")
        yield from _names("base", self.base)


def sign_release(release: Release, files: Mapping[str, str], key: Ed25519PrivateKey) -> bytes:
    """The bytes of release.json."""
    subjects = [{"name": name, "digest": {"sha256": value}} for name, value in sorted(files.items())]
    payload = canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": PREDICATE_TYPE,
            "predicate": release.model_dump(mode="json"),
        }
    )
    signature = {"keyid": release.key, "sig": base64.b64encode(key.sign(_authenticated(payload))).decode()}
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }
    return canonical_json(envelope) + b"\n"


def open_release(run: Path, trusted: Mapping[str, Ed25519PublicKey], *, now: datetime | None = None) -> SignedRelease:
    """The release beside a run's manifest; raises IntegrityError when it is missing, forged, expired, of another run.

    `trusted` maps fingerprints to public keys, as `keys.public_keys` reads them. Files are not looked at.
    """
    path = run / RELEASE
    found = _opened(path, _read(path), trusted)
    if found.release.run != run.name:
        raise IntegrityError(f"{path} is the release of {found.release.run}, not of {run.name}", cure=SIGN_AGAIN)
    if found.files.get(f"runs/{run.name}/{MANIFEST_NAME}") != found.release.manifest:
        raise IntegrityError(f"{path} names two manifests", cure=SIGN_AGAIN)
    if found.expired(now or datetime.now(UTC)):
        raise IntegrityError(f"the release of {run.name} expired at {found.release.expires_at}", cure=SIGN_AGAIN)
    return found


def check_files(found: SignedRelease, folders: ModelFolders) -> None:
    """Hash every file of a release; raises IntegrityError where one is missing, differs or was added."""
    there = set(folders.files(found.runs))
    faults = [f"{name} is not in the release" for name in sorted(there - set(found.files))]
    for name, expected in found.files.items():
        path = folders.place(name)
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif (seen := file_sha256(path)) != expected:
            faults.append(f"{name} has sha256 {seen[:12]}, the release says {expected[:12]}")
    if faults:
        raise IntegrityError(
            f"the model is not the released one: {'; '.join(faults[:5])}",
            cure="restore the files, or sign what is there",
        )


def file_marks(found: SignedRelease, folders: ModelFolders) -> dict[str, tuple[int, ...]]:
    """Of each file what changes when it is written to or exchanged, without reading it; a missing one has no mark."""
    marks: dict[str, tuple[int, ...]] = {}
    for name in {*found.files, *folders.files(found.runs)}:
        try:
            stat = folders.place(name).stat()
        except OSError:
            marks[name] = ()
        else:
            marks[name] = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return marks


def read_revoked(path: Path) -> frozenset[str]:
    """Digests of revoked releases and fingerprints of revoked keys: 64 hex digits a line, a reason may follow.

    Raises IntegrityError for a file that is missing or holds something else: whoever takes it away revokes everything.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"the list of revoked releases {path} cannot be read: {type(error).__name__}", cure="restore it"
        ) from error
    words = [line.split("#")[0].split(maxsplit=1) for line in lines]
    found = [parts[0].lower() for parts in words if parts]
    for number, word in enumerate(found, start=1):
        if len(word) != 64 or set(word) - set("0123456789abcdef"):
            raise IntegrityError(f"{path}: entry {number} is no digest of 64 hex digits: {word[:20]!r}")
    return frozenset(found)


def check_revoked(found: SignedRelease, revoked: frozenset[str]) -> None:
    """Raises IntegrityError for a release that is revoked, or whose key is."""
    for what, digest in (("release", found.digest), ("key of the release", found.release.key)):
        if digest in revoked:
            raise IntegrityError(f"the {what} {digest[:16]} is revoked", cure="release another run")


def written_moment(moment: datetime) -> str:
    """A time as releases hold it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _names(prefix: str, folder: Path) -> Iterator[str]:
    """Files below a folder, hidden ones too, since a loader may read them; and links to folders: none may be there."""
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_dir():
                yield f"{prefix}/{path.relative_to(folder).as_posix()}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise IntegrityError(f"{path.parent.name} is no signed release: no {RELEASE}", cure=SIGN_AGAIN) from error
    if len(data) > MAX_BYTES:
        raise IntegrityError(f"{path} has more than {MAX_BYTES} bytes and is not read")
    return data


def _opened(path: Path, data: bytes, trusted: Mapping[str, Ed25519PublicKey]) -> SignedRelease:
    try:
        envelope = _Envelope.model_validate_json(data)
        payload = base64.b64decode(envelope.payload, validate=True)
        signature = base64.b64decode(envelope.signatures[0].sig, validate=True)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise IntegrityError(f"{path} is no signed release: {_first(error)}", cure=SIGN_AGAIN) from error
    keyid = envelope.signatures[0].keyid
    key = trusted.get(keyid)
    if key is None or fingerprint(key) != keyid:
        known = ", ".join(sorted(one[:16] for one in trusted)) or "none"
        raise IntegrityError(
            f"{path} is signed with the key {keyid[:16]}, which is not trusted (trusted: {known})",
            cure="put the signer's .pub file into the folder of trusted keys, if you trust them",
        )
    try:
        key.verify(signature, _authenticated(payload))
    except InvalidSignature as error:
        raise IntegrityError(f"{path} has a forged or damaged signature", cure=SIGN_AGAIN) from error
    return _statement(path, payload, keyid)


def _statement(path: Path, payload: bytes, keyid: str) -> SignedRelease:
    try:
        statement = _Statement.model_validate(_without_repeats(payload))
        _moment(statement.predicate.expires_at)
        files = {subject.name: subject.digest.sha256 for subject in statement.subject}
        if len(files) < len(statement.subject):
            raise ValueError("a file is named twice")
        for name in files:
            _check_name(name)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} holds no release: {_first(error)}", cure=SIGN_AGAIN) from error
    if statement.predicate.key != keyid:
        raise IntegrityError(f"{path} names another key than it is signed with", cure=SIGN_AGAIN)
    return SignedRelease(statement.predicate, files, sha256_hex(payload))


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    fine = path.parts[:1] in (("runs",), ("base",)) and len(path.parts) > 1 and ".." not in path.parts
    if not fine or path.as_posix() != name or "\\" in name or "\0" in name:
        raise ValueError(f"{name[:80]!r} is no name of a file in runs/ or base/")


def _without_repeats(payload: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key stands twice")
        return found

    return json.loads(payload, object_pairs_hook=once)


def _authenticated(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the type is signed with the payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


def _first(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"[:200]
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
