"""Keys and policy files for tests of signed and running policies."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from policy_texts import as_yaml, rule

from backstay.policy.bundle_file import sign_policy
from backstay.policy.policy_texts import PolicyText
from backstay.storage.keys import fingerprint

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def trusted(*keys: Ed25519PrivateKey) -> dict[str, Ed25519PublicKey]:
    """Public keys by fingerprint."""
    return {fingerprint(key.public_key()): key.public_key() for key in keys}


def pay_up_to(most: int, *more: dict[str, Any], expect: str = "allow", **head: Any) -> str:
    """A policy that permits payments up to an amount, with a test beside the rule."""
    case = {"request": {"args": {"amount": most}}, "expect": expect}
    return as_yaml([rule("pay", "permit", f"args.amount <= {most}", tests=[case]), *more], **head)


def write_signed(path: Path, version: int = 1, most: int = 50, key: Ed25519PrivateKey = KEY, **options: Any) -> Path:
    """A signed bundle of such a policy."""
    texts = (PolicyText("pay.yaml", pay_up_to(most)),)
    path.write_bytes(sign_policy(texts, key, version, now=options.pop("now", NOW), **options))
    return path
