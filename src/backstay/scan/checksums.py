"""Check digits of identity numbers, cards and wallets, from the public descriptions of their formats."""

import hashlib
from collections.abc import Sequence

_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(246)
_VERHOEFF_D = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
_VERHOEFF_P = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7), (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_ENDS = (1, 0x2BC830A3)


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1 annex B, of ASCII digits."""
    values = digits.translate(_DIGIT_VALUES)
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_DOUBLED))) % 10 == 0


_DIGIT_VALUES = bytes(c - 48 if 48 <= c <= 57 else 0 for c in range(256))


def verhoeff(digits: bytes) -> bool:
    """Verhoeff's scheme over the dihedral group of ten elements."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[place % 8][digit - 48]]
    return check == 0


def weighted(digits: bytes, weights: Sequence[int]) -> int:
    """The sum of digits times weights, as many as there are weights."""
    return sum((digit - 48) * weight for digit, weight in zip(digits, weights, strict=False))


def letters_as_numbers(text: bytes) -> int:
    """The number that stands there when A is 10, B 11 and so on to Z."""
    return int("".join(str(int(chr(char), 36)) for char in text))


def mod_11_10(digits: bytes) -> bool:
    """ISO/IEC 7064 mod 11,10, the last digit being the check."""
    check = 5
    for digit in digits:
        check = ((check or 10) * 2 % 11 + digit - 48) % 10
    return check == 1


def base58_check(text: bytes) -> bool:
    """A base58 text of 25 bytes whose last four are those of a double SHA-256."""
    number = 0
    for char in text.decode("ascii"):
        place = _BASE58.find(char)
        if place < 0:
            return False
        number = number * 58 + place
    if number >> 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def bech32(text: bytes) -> bool:
    """BIP 173 and 350, the last `1` being the separator."""
    low = text.decode("ascii").lower()
    human, _, data = low.rpartition("1")
    values = [_BECH32.find(char) for char in data]
    if not human or min(values, default=-1) < 0 or (text != text.lower() and text != text.upper()):
        return False
    check = 1
    for value in (*(ord(c) >> 5 for c in human), 0, *(ord(c) & 31 for c in human), *values):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate(_BECH32_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check in _BECH32_ENDS
