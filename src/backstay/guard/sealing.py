"""Sealing what a database keeps but nobody who reads it may see: AES-GCM under a key made from the ledger's own."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backstay.errors import IntegrityError
from backstay.guard.ledger import Ledger

NONCE_BYTES = 12


class Seals:
    """Seals under a key of its own for each purpose; only the owner of the ledger's key can open them."""

    def __init__(self, ledger: Ledger, purpose: str) -> None:
        self._purpose = purpose
        self._cipher = AESGCM(bytes.fromhex(ledger.digest(f"backstay: key of {purpose}".encode())))

    def seal(self, content: bytes, name: str) -> bytes:
        """The content sealed; it can be opened only as what it was named."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """The content; raises IntegrityError where it was changed, or sealed under another name or key."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise IntegrityError(f"{self._purpose}: what is kept for {name} was changed on disk") from error
