"""Checks of addresses, telephones, cards and accounts: what is reserved or made for examples is none."""

import ipaddress

from backstay.scan.birth_dates import is_date
from backstay.scan.checksums import base58_check, bech32, letters_as_numbers, luhn
from backstay.scan.engine import compile_re2
from backstay.scan.identity_numbers import digits_of, spelled
from backstay.scan.rule import Judge, Severity

_RESERVED = (b"example.com", b"example.net", b"example.org")
_RESERVED_TOP = frozenset((b"example", b"test", b"invalid", b"localhost"))
_NOT_TLD = frozenset((b"png", b"jpg", b"jpeg", b"gif", b"svg", b"css", b"js", b"py", b"html", b"json", b"local"))
_CARD = (
    rb"(?:4[0-9]{12}|4[0-9]{15}|4[0-9]{18}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    rb"|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11}|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2})[0-9]{12}"
    rb"|35[2-8][0-9]{13}|(?:1800|2131)[0-9]{11}|(?:50|5[6-8]|6[37])[0-9]{14}|62[0-9]{17})"
)
_NOT_PUBLIC = (
    ((0,), (1,)), ((10,), (11,)), ((100, 64), (100, 128)), ((127,), (128,)), ((169, 254), (169, 255)),
    ((172, 16), (172, 32)), ((192, 0, 0), (192, 0, 1)), ((192, 0, 2), (192, 0, 3)), ((192, 88, 99), (192, 88, 100)),
    ((192, 168), (192, 169)), ((198, 18), (198, 20)), ((198, 51, 100), (198, 51, 101)), ((203, 0, 113), (203, 0, 114)),
    ((224,), (256,)),
)  # fmt: skip
"""Networks of IANA's registry of special addresses that are not reached from elsewhere, each up to the next."""
_SPECIAL = frozenset(first for low, high in _NOT_PUBLIC for first in range(low[0], max(low[0] + 1, high[0])))
_IBAN_LENGTHS = (
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23GL18"
    "GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30NL18NO15"
    "PK24PL28PS29PT25QA29RO24RS22SA24SC31SD18SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20"
)
IBAN_LENGTHS = {_IBAN_LENGTHS[i : i + 2].encode(): int(_IBAN_LENGTHS[i + 2 : i + 4]) for i in range(0, 316, 4)}
_IBAN_EXAMPLES = frozenset((b"GB82WEST12345698765432", b"DE89370400440532013000"))


def email(value: bytes) -> Severity | None:
    """Not at reserved domains (RFC 2606), not a file name, not the login of a code host."""
    local, _, domain = value.lower().partition(b"@")
    labels = domain.split(b".")
    if not all(labels) or any(len(part) > 63 for part in labels) or labels[-1] in _NOT_TLD or local == b"git":
        return None
    reserved = labels[-1] in _RESERVED_TOP or b".".join(labels[-2:]) in _RESERVED
    return None if reserved or not local.strip(b".+-_%") else "medium"


def card(value: bytes) -> Severity | None:
    """A prefix of its length, Luhn, and more than two different digits."""
    digits = digits_of(value)
    return "high" if luhn(digits) and compile_re2(_CARD).fullmatch(digits) and len(set(digits)) > 1 else None


def labelled_card(value: bytes) -> Severity | None:
    """Luhn, the first digit of a card, and more than two different digits: the label says the rest."""
    digits = digits_of(value)
    return "high" if luhn(digits) and digits[:1] in b"23456" and len(set(digits)) > 2 else None


def iban(value: bytes) -> Severity | None:
    """The length of its country, and mod 97."""
    text = spelled(value)
    if IBAN_LENGTHS.get(text[:2]) != len(text) or text in _IBAN_EXAMPLES:
        return None
    return "high" if letters_as_numbers(text[4:] + text[:4]) % 97 == 1 else None


def is_fiction(digits: bytes) -> bool:
    """Numbers kept for fiction (555-01xx) and such that are no numbers."""
    return b"55501" in digits or len(set(digits)) <= 2


def phone_international(value: bytes) -> Severity | None:
    """8 to 15 digits, a country code that exists; of North America exactly eleven digits."""
    digits = digits_of(value.replace(b"(0)", b""))
    digits = digits[2:] if value[:2] == b"00" else digits
    if not 8 <= len(digits) <= 15 or is_fiction(digits) or digits[:1] == b"0":
        return None
    if value[:2] == b"00" and not value.strip(b"0123456789"):
        return None
    if digits[:1] == b"1" and (len(digits) != 11 or digits[1:2] in (b"0", b"1")):
        return None
    return "medium"


def phone_trunk(value: bytes) -> Severity | None:
    """Groups with one kind of gap, 9 to 12 digits in all, and no date."""
    digits = digits_of(value)
    if not 9 <= len(digits) <= 12 or is_fiction(digits):
        return None
    gaps = value.translate(None, b"0123456789")
    groups = value.split(gaps[:1])
    even = len(set(gaps)) == 1 and 3 <= len(groups) <= 5 and all(2 <= len(group) <= 5 for group in groups)
    return "medium" if even and not _is_day(value) else None


def phone_area(value: bytes) -> Severity | None:
    """9 to 11 digits, none kept for fiction."""
    digits = digits_of(value)
    return "medium" if 9 <= len(digits) <= 11 and not is_fiction(digits) else None


def phone_labelled(value: bytes) -> Severity | None:
    """7 to 13 digits and no date."""
    digits = digits_of(value)
    return "medium" if 7 <= len(digits) <= 13 and not is_fiction(digits) and not _is_day(value) else None


def _is_day(value: bytes) -> bool:
    parts = [int(part) for part in compile_re2(b"[0-9]+").findall(value)[:3]]
    if len(parts) < 3:
        return False
    day_first = is_date(parts[2], parts[1], parts[0]) if 1000 <= parts[2] <= 3000 else False
    month_first = is_date(parts[2], parts[0], parts[1]) if 1000 <= parts[2] <= 3000 else False
    return day_first or month_first or (1000 <= parts[0] <= 3000 and is_date(*parts))


def ip_address(value: bytes) -> Severity | None:
    """A public address: not of a private, local or documentation network, nor a network's own or a version."""
    if b":" not in value:
        return "low" if _is_public(value) else None
    try:
        address = ipaddress.IPv6Address(value.decode("ascii").rstrip(":"))
    except ValueError:
        return None
    return "low" if address.is_global and not address.is_multicast else None


def _is_public(value: bytes) -> bool:
    parts = value.split(b".")
    numbers = tuple(map(int, parts))
    if max(numbers) > 255 or any(part[:1] == b"0" and len(part) > 1 for part in parts) or numbers[2:] == (0, 0):
        return False
    return numbers[0] not in _SPECIAL or not any(low <= numbers <= high for low, high in _NOT_PUBLIC)


def mac_address(value: bytes) -> Severity | None:
    """One kind of gap; not the broadcast address nor zeros."""
    digits = spelled(value)
    return "low" if len({c for c in value if c in b":-"}) == 1 and digits not in (b"0" * 12, b"F" * 12) else None


def bitcoin(value: bytes) -> Severity | None:
    """Base58check or bech32."""
    return "medium" if (bech32(value) if value[:3].lower() == b"bc1" else base58_check(value)) else None


def ethereum(value: bytes) -> Severity | None:
    """Not an address of zeros and the like."""
    return "low" if len(set(value[2:].lower())) > 5 else None


def gps(value: bytes) -> Severity | None:
    """Latitude and longitude on the globe."""
    numbers = [float(part) for part in compile_re2(rb"[0-9]+\.[0-9]+").findall(value)]
    held = len(numbers) == 2 and numbers[0] <= 90 and numbers[1] <= 180 and max(numbers) > 0
    return "medium" if held else None


CONTACT_JUDGES: dict[str, Judge] = {
    check.__name__: check
    for check in (
        email, card, labelled_card, iban, phone_international, phone_trunk, phone_area, phone_labelled, ip_address,
        mac_address, bitcoin, ethereum, gps,
    )
}  # fmt: skip
"""Checks by the name that rule files use."""
