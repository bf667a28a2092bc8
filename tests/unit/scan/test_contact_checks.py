import ipaddress
import random
import re

import pytest
from stdnum import iban as oracle

from backstay.scan.checksums import letters_as_numbers
from backstay.scan.contact_checks import CONTACT_JUDGES, IBAN_LENGTHS


def said(kind: str, value: str) -> bool:
    return CONTACT_JUDGES[kind](value.encode()) is not None


def made_iban(country: bytes, length: int, rng: random.Random) -> str:
    body = "".join(rng.choices("0123456789", k=length - 4))
    check = 98 - letters_as_numbers(body.encode() + country + b"00") % 97
    return f"{country.decode()}{check:02d}{body}"


@pytest.mark.parametrize("country", sorted(IBAN_LENGTHS))
def test_ibans_of_every_country(country: bytes) -> None:
    rng = random.Random(2)
    value = made_iban(country, IBAN_LENGTHS[country], rng)
    assert said("iban", value) and said("iban", " ".join(value[i : i + 4] for i in range(0, len(value), 4)).lower())
    assert not said("iban", made_iban(country, IBAN_LENGTHS[country] + 1, rng))
    wrong = value[:-1] + str((int(value[-1]) + 1) % 10)
    assert not said("iban", wrong)


def test_lengths_as_another_library_has_them() -> None:
    for country, length in IBAN_LENGTHS.items():
        _, info = oracle._ibandb.info(country.decode())[0]
        assert 4 + sum(map(int, re.findall(r"(\d+)!", info["bban"]))) == length, country


def test_examples_are_none() -> None:
    assert not said("iban", "GB82 WEST 1234 5698 7654 32")


def test_addresses_as_the_standard_library_sorts_them() -> None:
    rng, public = random.Random(3), 0
    for _ in range(4000):
        numbers = [
            rng.choice((0, 10, 100, 127, 169, 172, 192, 198, 203, 224, 8, 93, rng.randrange(256))) for _ in range(4)
        ]
        address = ipaddress.ip_address(".".join(map(str, numbers)))
        if (
            numbers[2:] == [0, 0]
            or numbers[:3] == [192, 88, 99]
            or numbers[:3] == [192, 0, 0]
            or (numbers[0] == 192 and numbers[1] in (31, 52, 175))
        ):
            continue
        assert said("ip_address", str(address)) is (address.is_global and not address.is_multicast), address
        public += address.is_global
    assert public > 500
    assert not said("ip_address", "1.2.3.256") and not said("ip_address", "1.02.3.4")


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        ("email", "jane@mail.org", True),
        ("email", "jane@example.com", False),
        ("email", "a@b.test", False),
        ("email", "git@github.com", False),
        ("email", "logo@2x.png", False),
        ("email", "a@b..org", False),
        ("email", "a@mail.example.org", False),
        ("email", "...@mail.org", False),
        ("card", "4111111111111111", True),
        ("card", "4111111111111112", False),
        ("card", "378282246310005", True),
        ("card", "6011111111111117", True),
        ("card", "1234567812345670", False),
        ("card", "5555 5555 5555 4444", True),
        ("labelled_card", "501864667909", True),
        ("labelled_card", "1234567812345670", False),
        ("phone_international", "+44 20 7946 0958", True),
        ("phone_international", "+1 212 736 5000", True),
        ("phone_international", "+1 012 736 5000", False),
        ("phone_international", "+12345678", False),
        ("phone_international", "+46 (0)8 928 571 38", True),
        ("phone_international", "0012345678901", False),
        ("phone_international", "+1 212 555 0123", False),
        ("phone_international", "+44 44 44 44 44", False),
        ("phone_trunk", "0494 92 82 32", True),
        ("phone_trunk", "01.84.17.61.18", True),
        ("phone_trunk", "01-02-2020", False),
        ("phone_trunk", "04 94-92 82 32", False),
        ("phone_area", "(212) 736-5000", True),
        ("phone_area", "(12) 345-678", False),
        ("phone_labelled", "467 3395", True),
        ("phone_labelled", "2024-10-10", False),
        ("phone_labelled", "10/12/2024", False),
        ("ip_address", "2a00:1450:4001:81b::200e", True),
        ("ip_address", "2001:db8::1", False),
        ("ip_address", "2a00:1::2::3", False),
        ("mac_address", "00:1A:2B:3c:4D:5E", True),
        ("mac_address", "00:1A-2B:3c:4D:5E", False),
        ("mac_address", "ff:ff:ff:ff:ff:ff", False),
        ("ethereum", "0x52908400098527886E0F7030069857D2E4169EE7", True),
        ("ethereum", "0x" + "0" * 40, False),
        ("gps", "40.7128, -74.0060", True),
        ("gps", "95.7128, -74.0060", False),
        ("gps", "0.000, 0.000", False),
        ("bitcoin", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", True),
        ("bitcoin", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", False),
    ],
)
def test_kinds(kind: str, value: str, held: bool) -> None:
    assert said(kind, value) is held
