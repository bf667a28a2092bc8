import json
import random

import pytest
from cpu_time import least_cpu_s
from hostile_texts import PROSE, prose
from made_secrets import made

from backstay.errors import UsageError
from backstay.scan import Budget, Scanner, View, identifier_kinds, identifier_pack, scan_identifiers
from backstay.scan.identifiers import IdentifierScanner, identifier_rules, outermost
from backstay.scan.rule_pack import Candidate

RULES = identifier_rules()


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in scan_identifiers(text)]


@pytest.mark.parametrize("index", range(len(RULES)), ids=lambda index: f"{RULES[index].kind}-{index}")
def test_what_has_a_rules_shape_is_looked_at(index: int) -> None:
    rule, rng, matched = RULES[index], random.Random(index), 0
    for _ in range(20):
        text = f"so {made(rule, rng)} \n".encode()
        if rule.match(text, 3) is not None and rule.may_start(text, 3):
            matched += 1
            assert Candidate(3, index) in set(identifier_pack().candidates(text))
    assert matched > 5 or rule.value_at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe@mail.org today", ["email"]),
        ("write to jane.doe@mail.org.", ["email"]),
        ("write to jane@example.com or bob@shop.test", []),
        ("card 4111 1111 1111 1111 please", ["card_number"]),
        ("paid with 378282246310005", ["card_number"]),
        ("paid with 3782 822463 10005.", ["card_number"]),
        ("card 4111 1111 1111 1112 please", []),
        ("card 501864667909", ["card_number"]),
        ("call +44 20 7946 0958", ["phone"]),
        ("call +44 20 7946 0958 2026-01-02", ["phone"]),
        ("call (212) 736-5000 now", ["phone"]),
        ("call (212) 555-0123 now", []),
        ("ring 0494 92 82 32 or 01.84.17.61.18", ["phone", "phone"]),
        ("ring 345-899-3560x4587", ["phone"]),
        ("mobile: 467 3395", ["phone"]),
        ("to DE02 1203 0000 0000 2020 51 by noon", ["iban"]),
        ("to de02120300000000202051 by noon", ["iban"]),
        ("his is 514-69-0360.", ["us_ssn"]),
        ("SSN 514690360", ["us_ssn"]),
        ('{"ssn": "514690360"}', ["us_ssn"]),
        ("ITIN 912-90-3456", ["us_itin"]),
        ("her NHS number is 943 476 5919", ["uk_nhs"]),
        ("NI number AB 12 34 56 C", ["uk_nino"]),
        ("a hetu of 131052-308T", ["fi_hetu"]),
        ("cpf 111.444.777-35", ["br_cpf"]),
        ("steuer-id: 36 574 261 809", ["de_tax_id"]),
        ("DNI 54362315K", ["es_dni"]),
        ("CURP BOXW310820HNERXN09", ["mx_curp"]),
        ("MRTMTT91D08F205J", ["it_codice_fiscale"]),
        ("BSN 111222333", ["nl_bsn"]),
        ("PESEL 44051401359", ["pl_pesel"]),
        ("personnummer 880320-0016", ["se_personnummer"]),
        ("my Aadhaar is 2345 6789 0124", ["in_aadhaar"]),
        ("110101199003070011", ["cn_resident_id"]),
        ("S1234567D", ["sg_nric"]),
        ("VIN 1M8GDM9AXKP042788", ["vin"]),
        ("passport no. C01X00T47", ["passport"]),
        ("date of birth: 2/8/1935", ["date_of_birth"]),
        ("born on March 3, 1981", ["date_of_birth"]),
        ("geboren am 3. Mai 1981", ["date_of_birth"]),
        ("from 93.184.216.34 and 2a00:1450:4001:81b::200e", ["ip_address", "ip_address"]),
        ("00:1A:2B:3c:4D:5E and ab:cd:ef:3c:4d:5e", ["mac_address", "mac_address"]),
        ("40.7128° N, 74.0060° W", ["gps"]),
        ("send to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", ["crypto_wallet"]),
        ("send to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", ["crypto_wallet"]),
        ("\uff14\uff11\uff11\uff11 1111 1111\u200b 1111", ["card_number"]),
    ],
)  # fmt: skip
def test_examples(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "on 01-02-2020 and 2020-01-02 we paid 1,234,567.89",
        "pi is 3.14159265358979323846",
        "2024-01-02T03:04:05.123456Z 1700000000000 1700000000000000",
        "commit 0123456789abcdef0123456789abcdef01234567 and e99a18c4-28cb-38d5-f260-853678922e03",
        "see section 1.2.3 or 10.0.0.1, 127.0.0.1:8080, 192.168.1.1/24, 255.255.255.0, Chrome/120.0.0.0",
        "std::vector<int> a; b::c::d(); 12:30:45; x = a[1:2]",
        "@property, user@host, @media, foo@2x.png, git@github.com:a/b.git",
        "born in the USA; she was born again; the card game; a pan of 12 eggs; sin(123456789)",
        "x = (212) - 3 + 12345678; 100-200-3000; 3-2-1; 555-0123; 1-800-FLOWERS",
        "ISBN 978-3-16-148410-0, order 123456789012, invoice 2024-000123, ticket #1234567",
        json.dumps([random.Random(1).random() for _ in range(50)]),
        json.dumps({"id": 1234567890123456, "count": 42, "ts": 1718000000, "ratio": 0.123456789}),
        "id=9007199254740993&session=AB12CD34EF56&v=2.31.0",
        "0x1f 0xdeadbeef 1e-10 12_000_000 1.5GB 16x9 h264 mp3 utf8 sha256 2fa b2b 4k",
    ],
)
def test_what_is_none(text: str) -> None:
    assert kinds(text) == []


def test_prose_holds_none() -> None:
    assert kinds(PROSE * 5) == []


def test_random_numbers_are_seldom_taken_for_something() -> None:
    rng = random.Random(6)
    texts = [" ".join(str(rng.randrange(10 ** rng.randint(1, 17))) for _ in range(40)) for _ in range(100)]
    assert sum(len(kinds(text)) for text in texts) <= 20


def test_only_the_value_is_the_span() -> None:
    (finding,) = scan_identifiers("her NHS number is 943 476 5919.")
    assert finding.span == (18, 30) and "943" not in finding.evidence and finding.scanner == "identifiers"


def test_of_findings_in_one_another_the_longest_counts() -> None:
    scanner: Scanner = IdentifierScanner()
    assert [found.span for found in scanner.scan(View.of("tel +49 (0)30 901820"), Budget())] == [(4, 20)]
    assert outermost(()) == ()


def test_kinds_may_be_chosen() -> None:
    assert {rule.kind for rule in identifier_pack({"email", "iban"}).rules} == {"email", "iban"}
    with pytest.raises(UsageError, match="known are au_medicare"):
        identifier_pack({"e-mail"})
    assert len(identifier_kinds()) >= 40


FLOODS = ("1 ", "1", "@", "a@", "a@b.", "+1", "(12)", "4111 1111 1111 1112 ", "1.2.3.4 ", "ab:", "012 345 678 90 ",
          "ssn ", "dob 1/2/33 ", "passport ", "a1 ", "AB12 ", "tel 0-0 ", "2024-01-02 ")  # fmt: skip


@pytest.mark.hostile
@pytest.mark.parametrize("piece", FLOODS)
def test_floods_cost_at_most_milliseconds_a_kilobyte(piece: str) -> None:
    scan_identifiers(piece * 200)
    text = piece * (30_000 // len(piece))
    assert (
        least_cpu_s(lambda: list(identifier_pack().matches(text.encode()))) < 0.6
    )  # ten times the target, so that a busy machine does not fail it


def test_prose_keeps_its_speed() -> None:
    assert prose(random.Random(1), 100) and kinds(prose(random.Random(1), 20_000)) == []
