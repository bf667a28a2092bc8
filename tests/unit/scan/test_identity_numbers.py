"""Against python-stdnum, on numbers of the right form with and without the right check digits."""

import random
import string
from collections.abc import Callable
from importlib import import_module

import pytest

from backstay.scan import identity_numbers
from backstay.scan.identity_numbers import IDENTITY_JUDGES, digits_of, spelled

DIGITS = string.digits


def day(rng: random.Random, form: str) -> str:
    """A day with two digits each of year, month, day in the order of the form."""
    parts = {"y": rng.randint(30, 99), "m": rng.randint(1, 12), "d": rng.randint(1, 28)}
    return "".join(f"{parts[char]:02d}" for char in form)


def some(rng: random.Random, count: int, of: str = DIGITS) -> str:
    return "".join(rng.choices(of, k=count))


UPPER = string.ascii_uppercase
MADE: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "ca_sin": ("ca.sin", lambda r: r.choice("12345679") + some(r, 8)),
    "nl_bsn": ("nl.bsn", lambda r: some(r, 9)),
    "pl_pesel": ("pl.pesel", lambda r: day(r, "ymd") + some(r, 5)),
    "se_personnummer": ("se.personnummer", lambda r: day(r, "ymd") + "-" + some(r, 4)),
    "br_cpf": ("br.cpf", lambda r: some(r, 9) + r.choice(("09", some(r, 2), "17"))),
    "br_cnpj": ("br.cnpj", lambda r: some(r, 14)),
    "in_aadhaar": ("in_.aadhaar", lambda r: r.choice("23456789") + some(r, 11)),
    "au_tfn": ("au.tfn", lambda r: some(r, 9)),
    "imei": ("imei", lambda r: some(r, 15)),
    "us_ssn": ("us.ssn", lambda r: some(r, 9)),
    "us_ein": ("us.ein", lambda r: some(r, 9)),
    "uk_nhs": ("gb.nhs", lambda r: "9" + some(r, 9, "012345678")),
    "kr_rrn": ("kr.rrn", lambda r: day(r, "ymd") + r.choice("12") + some(r, 6)),
    "za_id": ("za.idnr", lambda r: day(r, "ymd") + some(r, 4) + r.choice("01") + some(r, 2)),
    "de_tax_id": ("de.idnr", lambda r: "".join(r.sample("123456789", 9)) + some(r, 2)),
    "no_fnr": ("no.fodselsnummer", lambda r: day(r, "dmy") + some(r, 3, "01234") + some(r, 2)),
    "be_rrn": ("be.nn", lambda r: f"{r.randint(1, 24):02d}" + day(r, "md") + some(r, 5)),
    "fr_nir": ("fr.nir", lambda r: r.choice("12") + day(r, "ym") + some(r, 1, "012345678") + some(r, 9)),
    "es_dni": ("es.dni", lambda r: some(r, 8) + r.choice("TRWAGMYFPDXBNJZSQVHLCKE")),
    "fi_hetu": (
        "fi.hetu",
        lambda r: (
            day(r, "dmy") + r.choice("-+") + some(r, 1, "12345678") + some(r, 2) + some(r, 1, DIGITS + "ABCDEFHJKLMN")
        ),
    ),
    "mx_curp": ("mx.curp", lambda r: "GAAC" + day(r, "ymd") + r.choice("HM") + "DFRRL" + some(r, 2)),
    "it_codice_fiscale": (
        "it.codicefiscale",
        lambda r: (
            some(r, 6, UPPER)
            + day(r, "y")
            + r.choice("ABCDEHLMPRST")
            + day(r, "d")
            + r.choice("AFH")
            + some(r, 3)
            + r.choice(UPPER)
        ),
    ),
    "cn_resident_id": ("cn.ric", lambda r: "11010219" + day(r, "ymd") + some(r, 3) + r.choice(DIGITS + "X")),
}


@pytest.mark.parametrize("kind", sorted(MADE))
def test_the_same_as_another_library(kind: str) -> None:
    module, make = MADE[kind]
    oracle, judge, rng, held = import_module(f"stdnum.{module}"), IDENTITY_JUDGES[kind], random.Random(kind), 0
    for _ in range(3000):
        number = make(rng)
        said = judge(number.encode()) is not None
        assert said is oracle.is_valid(number), number
        held += said
    assert 5 < held < 2999


PUBLISHED = {
    "sg_nric": ("S1234567D", "T1234567J", "F1234567N", "G1234567X", "M1234567K"),
    "jp_my_number": ("123456789018",),
    "au_medicare": ("2123456701",),
    "es_dni": ("X1234567L", "Y1234567X", "Z1234567R"),
    "us_itin": ("912-90-3456", "900-50-0000"),
    "uk_nino": ("AB123456C",),
    "vin": ("1M8GDM9AXKP042788",),
    "passport": ("C01X00T47",),
    "in_pan": ("ABCPE1234F",),
}


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
def test_published_numbers(kind: str) -> None:
    judge = IDENTITY_JUDGES["pan" if kind == "in_pan" else kind]
    assert [judge(number.encode()) for number in PUBLISHED[kind]] == ["high"] * len(PUBLISHED[kind])


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("sg_nric", "S0000001A"),
        ("jp_my_number", "123456789012"),
        ("au_medicare", "2123456711"),
        ("us_itin", "912-93-3456"),
        ("uk_nino", "GB123456C"),
        ("us_ssn", "078-05-1120"),
        ("us_ssn", "666-12-1234"),
        ("vin", "12345678901234567"),
        ("passport", "PASSPORTS"),
        ("es_dni", "12345678Z"),
        ("br_cpf", "11111111111"),
        ("de_id_card", "PASSPORTX"),
        ("de_id_card", "T220001294"),
        ("fr_nir", "255081416802539"),
    ],
)
def test_what_is_none(kind: str, number: str) -> None:
    assert IDENTITY_JUDGES[kind](number.encode()) is None


def test_a_german_card_with_its_check_digit() -> None:
    total = sum(int(char, 36) * weight for char, weight in zip("T22000129", (7, 3, 1) * 3, strict=True))
    assert IDENTITY_JUDGES["de_id_card"](f"T22000129{total % 10}".encode()) == "high"


def test_forms_of_a_value() -> None:
    assert digits_of(b"1-2 3a") == b"123" and spelled(b"a-1 b.2") == b"A1B2"


def test_every_check_has_a_name_of_its_own() -> None:
    assert all(getattr(identity_numbers, name) for name in IDENTITY_JUDGES)
