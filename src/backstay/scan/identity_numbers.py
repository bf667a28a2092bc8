"""Whether a text of an identity number's shape is one: check digits, dates in it, numbers kept for examples."""

from collections.abc import Callable

from backstay.scan.birth_dates import birth_date, is_date, short_date
from backstay.scan.checksums import luhn, mod_11_10, verhoeff, weighted
from backstay.scan.rule import Judge, Severity

_NO_DIGIT = bytes(c for c in range(256) if not 48 <= c <= 57)
_SPELLED = bytes(c for c in range(256) if not chr(c).isascii() or not chr(c).isalnum())
_DNI = b"TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = b"0123456789ABCDEFHJKLMNPRSTUVWXY"
_HETU_CENTURY = {**dict.fromkeys(b"+", 1800), **dict.fromkeys(b"-UVWXY", 1900), **dict.fromkeys(b"ABCDEF", 2000)}
_CURP = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ"
_FISCAL_MONTHS = b"ABCDEHLMPRST"
_FISCAL_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_NRIC = {"S": b"JZIHGFEDCBA", "F": b"XWUTRQPNMLK", "M": b"XWUTRQPNJLK"}
_EIN_UNUSED = frozenset((0, 7, 8, 9, 17, 18, 19, 28, 29, 49, 69, 70, 78, 79, 89, 96, 97))
_SSN_EXAMPLES = frozenset((b"078051120", b"219099999", b"123456789", b"457555462"))
_NINO_UNUSED = frozenset((b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"))


def digits_of(value: bytes) -> bytes:
    """The digits of a value."""
    return value.translate(None, _NO_DIGIT)


def spelled(value: bytes) -> bytes:
    """The letters, in capitals, and digits of a value."""
    return value.translate(None, _SPELLED).upper()


def us_ssn(d: bytes) -> bool:
    """Areas 000, 666 and 9xx, groups 00 and serials 0000 are not given out; a few numbers are known from examples."""
    area = int(d[:3])
    return area not in (0, 666) and area < 900 and d[3:5] != b"00" and d[5:] != b"0000" and d not in _SSN_EXAMPLES


def us_itin(d: bytes) -> bool:
    """Begins with 9; the middle digits are 50-65, 70-88, 90-92 or 94-99."""
    group = int(d[3:5])
    return d[:1] == b"9" and (50 <= group <= 65 or 70 <= group <= 88 or (90 <= group <= 99 and group != 93))


def us_ein(d: bytes) -> bool:
    """The first two digits name a campus."""
    return int(d[:2]) not in _EIN_UNUSED and d != b"123456789"


def uk_nhs(d: bytes) -> bool:
    """Mod 11; 999 begins numbers for tests."""
    return weighted(d, range(10, 0, -1)) % 11 == 0 and d[:3] != b"999" and d.strip(d[:1]) != b""


def uk_nino(s: bytes) -> bool:
    """A few prefixes are not given out."""
    return s[:2] not in _NINO_UNUSED


def ca_sin(d: bytes) -> bool:
    """Luhn; 0 and 8 begin numbers that are not given to people."""
    return luhn(d) and d[:1] not in (b"0", b"8")


def de_tax_id(d: bytes) -> bool:
    """Mod 11,10; of the first ten digits one stands there two or three times, all others at most once."""
    counts = sorted(d[:10].count(c) for c in set(d[:10]))
    return d[:1] != b"0" and counts[-1] in (2, 3) and counts[-2] == 1 and mod_11_10(d)


def de_id_card(s: bytes) -> bool:
    """Weights 7, 3, 1 where the check digit stands there; a digit must be in it anyway."""
    if len(s) == 9:
        return sum(48 <= c <= 57 for c in s) >= 2
    total = sum(int(chr(c), 36) * w for c, w in zip(s, (7, 3, 1) * 3, strict=False))
    return total % 10 == s[9] - 48


def fr_nir(s: bytes) -> bool:
    """97 less the number mod 97; in Corsica 2A stands for 19 and 2B for 18."""
    body = s[:13].replace(b"2A", b"19").replace(b"2B", b"18")
    month = int(s[3:5]) if s[3:5].isdigit() else 0
    known = 1 <= month <= 12 or 20 <= month <= 42 or month >= 50
    return known and body.isdigit() and s[13:].isdigit() and 97 - int(body) % 97 == int(s[13:])


def es_dni(s: bytes) -> bool:
    """The number mod 23 gives the letter; X, Y and Z of foreigners stand for 0, 1 and 2."""
    number = s[:-1].translate(bytes.maketrans(b"XYZ", b"012"))
    return number.isdigit() and _DNI[int(number) % 23] == s[-1] and s[:-1] not in (b"12345678", b"00000000")


def it_codice_fiscale(s: bytes) -> bool:
    """The sum of the values of odd and even places mod 26 gives the last letter."""
    values = [int(chr(c), 36) if c > 57 else c - 48 + 10 for c in s]
    total = sum(
        _FISCAL_ODD[v - 10] if place % 2 == 0 else _fiscal_even(s[place]) for place, v in enumerate(values[:15])
    )
    day = int(s[9:11])
    return s[8] in _FISCAL_MONTHS and 1 <= day % 40 <= 31 and day <= 71 and total % 26 == s[15] - 65


def _fiscal_even(char: int) -> int:
    return char - 48 if char <= 57 else char - 65


def nl_bsn(d: bytes) -> bool:
    """The eleven test, the last digit counting -1."""
    return weighted(d, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and d.strip(d[:1]) != b""


def be_rrn(d: bytes) -> bool:
    """97 less the number mod 97, a 2 before it for those born from 2000 on; 20 or 40 may be added to the month."""
    check = int(d[9:])
    if int(d[2:4]) % 20 > 12 or int(d[4:6]) > 31:
        return False
    return 97 - int(d[:9]) % 97 == check or 97 - int(b"2" + d[:9]) % 97 == check


def pl_pesel(d: bytes) -> bool:
    """Weights 1, 3, 7, 9; the month has 80, 20, 40 or 60 added for other centuries than the twentieth."""
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[int(d[2:4]) // 20]
    held = weighted(d, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return held and is_date(century + int(d[:2]), int(d[2:4]) % 20, int(d[4:6]))


def se_personnummer(d: bytes) -> bool:
    """A day, and Luhn over the last ten digits; 60 is added to the day of coordination numbers."""
    last = d[-10:]
    day = int(last[4:6])
    dated = b"%b%02d" % (last[:4], day - 60 if day > 60 else day)
    return len(d) in (10, 12) and luhn(last) and short_date(dated)


def fi_hetu(s: bytes) -> bool:
    """A day, and the nine digits mod 31."""
    number = s[:6] + s[7:10]
    dated = is_date(_HETU_CENTURY[s[6]] + int(s[4:6]), int(s[2:4]), int(s[:2]))
    return dated and _HETU[int(number) % 31] == s[10] and int(s[7:10]) >= 2


def no_fnr(d: bytes) -> bool:
    """Two check digits mod 11; 40 is added to the day of D numbers, to the month of synthetic ones 80."""
    first = weighted(d, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
    second = weighted(d, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    return first and second and 1 <= int(d[:2]) % 40 <= 31 and 1 <= int(d[2:4]) <= 12


def br_cpf(d: bytes) -> bool:
    """Two check digits mod 11; eleven equal digits hold them too, and are none."""
    first = weighted(d, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(d, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(d)) > 1 and [first, second] == [d[9] - 48, d[10] - 48]


def br_cnpj(d: bytes) -> bool:
    """As a CPF, with weights that run from 2 to 9 and again."""
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    first = weighted(d[:12], weights[1:]) * 10 % 11 % 10
    second = weighted(d[:13], weights) * 10 % 11 % 10
    return len(set(d)) > 1 and [first, second] == [d[12] - 48, d[13] - 48]


def mx_curp(s: bytes) -> bool:
    """A day, and a sum over base 37 mod 10."""
    total = sum(_CURP.index(chr(c)) * (18 - place) for place, c in enumerate(s[:17]))
    return short_date(s[4:10]) and -total % 10 == s[17] - 48


def in_aadhaar(d: bytes) -> bool:
    """Verhoeff; palindromes are not given out."""
    return verhoeff(d) and d != d[::-1]


def au_tfn(d: bytes) -> bool:
    """Mod 11."""
    return weighted(d, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 and d.strip(d[:1]) != b""


def au_medicare(d: bytes) -> bool:
    """The ninth digit checks the first eight, mod 10."""
    return weighted(d, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == d[8] - 48


def cn_resident_id(s: bytes) -> bool:
    """A day, and ISO/IEC 7064 mod 11-2."""
    check = sum((c - 48) * (pow(2, 17 - place, 11)) for place, c in enumerate(s[:17])) % 11
    return b"10X98765432"[check] == s[17] and is_date(int(s[6:10]), int(s[10:12]), int(s[12:14]))


def jp_my_number(d: bytes) -> bool:
    """Mod 11, remainders below two giving 0."""
    rest = weighted(d, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest <= 1 else 11 - rest) == d[11] - 48 and len(set(d)) > 1


def kr_rrn(d: bytes) -> bool:
    """A day, a place up to 96, and mod 11."""
    check = (11 - weighted(d, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return short_date(d[:6]) and int(d[7:9]) <= 96 and check == d[12] - 48


def sg_nric(s: bytes) -> bool:
    """A sum of the digits mod 11 gives the letter."""
    series = chr(s[0])
    offset = {"T": 4, "G": 4, "M": 3}.get(series, 0)
    total = (weighted(s[1:8], (2, 7, 6, 5, 4, 3, 2)) + offset) % 11
    return _NRIC[{"T": "S", "G": "F"}.get(series, series)][total] == s[8]


def za_id(d: bytes) -> bool:
    """A day, citizenship 0, 1 or 2, and Luhn."""
    return luhn(d) and short_date(d[:6]) and d[10:11] in (b"0", b"1", b"2")


def vin(s: bytes) -> bool:
    """Letters and digits, four of which at the end are digits; the check digit is not used in all countries."""
    return s[13:].isdigit() and not s.isdigit() and len(set(s)) > 5


def imei(d: bytes) -> bool:
    """Luhn."""
    return luhn(d) and len(set(d)) > 2


def passport(s: bytes) -> bool:
    """Mostly digits."""
    return sum(48 <= c <= 57 for c in s) >= 5 and len(set(s)) > 2


def pan(s: bytes) -> bool:
    """The form says all."""
    return s[5:9] != b"0000"


def _judged(check: Callable[[bytes], bool], form: Callable[[bytes], bytes], severity: Severity) -> Judge:
    def judge(value: bytes) -> Severity | None:
        return severity if check(form(value)) else None

    return judge


def _hetu_form(value: bytes) -> bytes:
    return value.upper()


_BY_DIGITS = (
    us_ssn, us_itin, us_ein, uk_nhs, ca_sin, de_tax_id, nl_bsn, be_rrn, pl_pesel, se_personnummer, no_fnr, br_cpf,
    br_cnpj, in_aadhaar, au_tfn, au_medicare, jp_my_number, kr_rrn, za_id, imei,
)  # fmt: skip
_BY_CHARACTERS = (
    uk_nino, de_id_card, fr_nir, es_dni, it_codice_fiscale, mx_curp, cn_resident_id, sg_nric, vin, passport, pan,
)  # fmt: skip

IDENTITY_JUDGES: dict[str, Judge] = {
    **{check.__name__: _judged(check, digits_of, "high") for check in _BY_DIGITS},
    **{check.__name__: _judged(check, spelled, "high") for check in _BY_CHARACTERS},
    "fi_hetu": _judged(fi_hetu, _hetu_form, "high"),
    "birth_date": _judged(birth_date, bytes, "medium"),
}
"""Checks by the name that rule files use."""
