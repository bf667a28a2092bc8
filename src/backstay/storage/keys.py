"""The project's keys, made once and readable by their owner only: Ed25519 for seals, one for digests of contents."""

import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from backstay.errors import IntegrityError
from backstay.storage.atomic import disk_errors, fsync_path, write_atomic

PRIVATE_NAME = "journal.pem"
DIGEST_NAME = "digest.key"
DIGEST_KEY_BYTES = 32


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key as hex."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def signing_key(keys_dir: Path) -> Ed25519PrivateKey:
    """The project's private key, made on first use; its public key is written beside it as `journal-<16 hex>.pub`."""
    path = keys_dir / PRIVATE_NAME
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _create(path, pem)
    key = _load_private(path)
    public = key.public_key()
    public_path = keys_dir / f"journal-{fingerprint(public)[:16]}.pub"
    if not public_path.exists():
        write_atomic(public_path, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key


def public_keys(keys_dir: Path) -> dict[str, Ed25519PublicKey]:
    """Every public key of the project by fingerprint, those of retired keys included."""
    found = {}
    for path in sorted(keys_dir.glob("journal-*.pub")):
        key = _load_public(path)
        found[fingerprint(key)] = key
    return found


def digest_key(keys_dir: Path) -> bytes:
    """The project's key of digests, made on first use: who lacks it cannot try out what a digest may stand for."""
    path = keys_dir / DIGEST_NAME
    if not path.exists():
        _create(path, secrets.token_bytes(DIGEST_KEY_BYTES))
    key = _read_private(path)
    if len(key) != DIGEST_KEY_BYTES:
        raise IntegrityError(f"{path} holds {len(key)} bytes, not {DIGEST_KEY_BYTES}", cure="restore it from a copy")
    return key


def _create(path: Path, content: bytes) -> None:
    """Write a new key under a name of its own, then link it: one of several processes wins, with a whole file."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        fsync_path(path.parent)


def _read_private(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise IntegrityError(f"the key {path} is open to others (mode {mode:04o})", cure=f"chmod 600 {path}")
    with disk_errors(path):
        return path.read_bytes()


def _load_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read_private(path), password=None)
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{path} is not a private key: {error}", cure="restore it from a copy") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError(f"{path} is not an Ed25519 key but {type(key).__name__}")
    return key


def _load_public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise IntegrityError(f"{path} is not a public key: {error}", cure="restore it from a copy") from error
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError(f"{path} is not an Ed25519 key but {type(key).__name__}")
    return key
