"""Secrets made up from the shapes of rules, so that none stands in the repository."""

import random
import string
import zlib

from backstay.scan.checks import base62_crc32
from backstay.scan.rule import Rule

_PRINTABLE = (string.ascii_letters + string.digits + string.punctuation + " ").encode()


def made(rule: Rule, rng: random.Random) -> str:
    """A text that has the rule's shape; its checks are not looked at."""
    out = bytearray()
    for item in rule.items:
        pool = [code for code in _PRINTABLE if code in item.chars] or sorted(item.chars)
        top = item.low + 5 if item.high is None else min(item.high, max(item.low + 3, 14))
        out += bytes(rng.choice(pool) for _ in range(rng.randint(item.low, top)))
    body = out.decode()
    return body + "\nMADE+UP/" + "x" * rng.randint(0, 40) + "\n-----END " + rule.close.decode() if rule.close else body


def token_with_check(prefix: str, seed: int) -> str:
    """A token of 36 characters behind its prefix whose last six are the check digits."""
    body = "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=30))
    return prefix + body + base62_crc32(body.encode())


def crc_by_hand(text: str) -> int:
    """CRC-32, for tests that work the check digits out another way."""
    return zlib.crc32(text.encode())
