"""Signed policies: the texts of a policy, its hash and what its tests said, in one JSON file with one signature."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError

from backstay.errors import IntegrityError, UsageError
from backstay.policy.accepted_version import Accepted, read_accepted
from backstay.policy.admission import admit
from backstay.policy.engine import PolicyBundle
from backstay.policy.obligations import Closed
from backstay.policy.policy_texts import MAX_FILES, PolicyText, compile_texts
from backstay.records import canonical_json, content_hash, sha256_hex
from backstay.storage.keys import fingerprint

MAX_FILE_BYTES = 16_000_000
_CONTEXT = b"backstay.policy-bundle 1\n"
_NO_BUNDLE = "make one with: backstay guard bundle POLICY... -o FILE --version N"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class PackedFile(Closed):
    """One policy file, with its text as it was."""

    name: str = Field(min_length=1, max_length=1000)
    text: str
    sha256: Digest


class Statement(Closed):
    """What is signed."""

    type: Literal["backstay.policy-bundle"] = "backstay.policy-bundle"
    version: int = Field(ge=1, lt=2**53)
    """Grows with each bundle of a deployment; a lower one than the last accepted is refused."""
    created_at: Moment
    expires_at: Moment | None
    policy: Digest
    files: tuple[PackedFile, ...] = Field(strict=False, min_length=1, max_length=MAX_FILES)
    cases: int = Field(ge=0)
    """Tests beside the rules, all of which passed."""
    warnings: int = Field(ge=0)
    """Remarks of lint, none of which is an error."""
    key: Digest


class _SignedFile(Closed):
    statement: Statement
    signature: str


class SignedPolicy(NamedTuple):
    """A signed policy that holds."""

    bundle: PolicyBundle
    statement: Statement
    digest: str
    """SHA-256 of the statement's canonical JSON."""


def sign_policy(
    texts: tuple[PolicyText, ...],
    key: Ed25519PrivateKey,
    version: int,
    *,
    now: datetime,
    valid_days: float | None = None,
) -> bytes:
    """The bytes of a bundle file; raises UsageError when the policy does not pass its tests or has errors of lint."""
    bundle = compile_texts(texts)
    admission = admit(bundle, "the policy")
    try:
        statement = Statement(
            version=version,
            created_at=_written(now),
            expires_at=None if valid_days is None else _written(now + timedelta(days=valid_days)),
            policy=bundle.hash,
            files=tuple(PackedFile(name=t.name, text=t.text, sha256=sha256_hex(t.text.encode())) for t in texts),
            cases=admission.cases,
            warnings=admission.warnings,
            key=fingerprint(key.public_key()),
        )
    except (ValidationError, OverflowError) as error:
        raise UsageError(
            f"the bundle cannot be written: {_first(error)}", cure="see --help for what is accepted"
        ) from error
    signature = base64.b64encode(key.sign(_signed_bytes(statement))).decode()
    return canonical_json({"signature": signature, "statement": statement.model_dump(mode="json")}) + b"\n"


def open_signed(
    path: Path, trusted: Mapping[str, Ed25519PublicKey], *, state: Path | None = None, now: datetime | None = None
) -> SignedPolicy:
    """Open a bundle file: signature, hashes, expiry, and `state`, where the last accepted version is kept.

    `trusted` maps fingerprints to public keys, as `storage.keys.public_keys` reads them. Raises IntegrityError for
    whatever does not hold. `state` is only read: `accepted_version.accept` writes it once the policy is used.
    """
    return open_signed_bytes(read_signed(path), str(path), trusted, state=state, now=now)


def read_signed(path: Path) -> bytes:
    """The bytes of a bundle file; raises UsageError when it is missing, IntegrityError when it is too large."""
    if not path.is_file():
        raise UsageError(f"no policy bundle {path}", cure=_NO_BUNDLE)
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise IntegrityError(f"{path} has more than {MAX_FILE_BYTES} bytes and is not read", cure=_NO_BUNDLE)
    return data


def open_signed_bytes(
    data: bytes,
    name: str,
    trusted: Mapping[str, Ed25519PublicKey],
    *,
    state: Path | None = None,
    now: datetime | None = None,
) -> SignedPolicy:
    """The same, of bytes that are already read; `name` is for messages."""
    signed = _parsed(data, name)
    statement = signed.statement
    _check_signature(signed, name, trusted)
    _check_times(statement, name, now or datetime.now(UTC))
    accepted = Accepted(version=statement.version, digest=content_hash(statement.model_dump(mode="json")))
    if state is not None and (refusal := accepted.refused_after(read_accepted(state))):
        raise IntegrityError(f"{name}: {refusal}", cure="sign the policy you want again, with a higher --version")
    return SignedPolicy(_compiled(statement, name), statement, accepted.digest)


def _parsed(data: bytes, name: str) -> _SignedFile:
    """The file; anything but the very bytes that `sign_policy` writes is refused, so no second reading of it exists."""
    try:
        found = _SignedFile.model_validate_json(data)
        same = canonical_json(found.model_dump(mode="json")) + b"\n" == data
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{name} is no policy bundle: {_first(error)}", cure=_NO_BUNDLE) from error
    if not same:
        raise IntegrityError(
            f"{name} is no policy bundle: it is not the canonical JSON that was signed", cure=_NO_BUNDLE
        )
    return found


def _check_signature(signed: _SignedFile, name: str, trusted: Mapping[str, Ed25519PublicKey]) -> None:
    key = trusted.get(signed.statement.key)
    if key is None or fingerprint(key) != signed.statement.key:
        known = ", ".join(sorted(found[:16] for found in trusted)) or "none"
        raise IntegrityError(
            f"{name} is signed with the key {signed.statement.key[:16]}, which is not trusted (trusted: {known})",
            cure="put the signer's .pub file into the folder of trusted keys, if you trust them",
        )
    try:
        signature = base64.b64decode(signed.signature, validate=True)
        key.verify(signature, _signed_bytes(signed.statement))
        same = base64.b64encode(signature).decode() == signed.signature
    except (binascii.Error, ValueError, InvalidSignature):
        same = False
    if not same:
        raise IntegrityError(f"{name} has a forged or damaged signature", cure="fetch it again from who signed it")


def _check_times(statement: Statement, name: str, now: datetime) -> None:
    try:
        created = _moment(statement.created_at)
        expires = None if statement.expires_at is None else _moment(statement.expires_at)
    except ValueError as error:
        raise IntegrityError(f"{name} states a time that does not exist: {error}") from error
    if expires is not None and expires <= max(now, created):
        raise IntegrityError(f"{name} expired at {statement.expires_at}", cure="sign the policy again")


def _compiled(statement: Statement, name: str) -> PolicyBundle:
    for file in statement.files:
        if sha256_hex(file.text.encode()) != file.sha256:
            raise IntegrityError(f"{name}: the text of {file.name} does not match its hash")
    bundle = compile_texts(PolicyText(file.name, file.text) for file in statement.files)
    if bundle.hash != statement.policy:
        raise IntegrityError(
            f"{name} states the policy {statement.policy[:12]}, but its texts are {bundle.hash[:12]}",
            cure="sign it with this version of Backstay",
        )
    return bundle


def _signed_bytes(statement: Statement) -> bytes:
    """A prefix of its own, so that no other signature of the same key passes for one of a policy."""
    return _CONTEXT + canonical_json(statement.model_dump(mode="json"))


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


def _first(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"[:200]
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
