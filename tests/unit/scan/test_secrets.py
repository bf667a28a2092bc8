import base64
import json
import random
import string
import sys
import time
import zlib

import pytest
from cpu_time import least_cpu_s
from hostile_texts import PROSE
from made_secrets import made, token_with_check

from backstay.errors import ResourceError
from backstay.scan import NOT_SCANNED, Budget, Evidence, Scanner, SecretScanner, View, scan_secrets, secret_kinds
from backstay.scan.checks import base62_crc32, entropy_bits, is_uuid, looks_random
from backstay.scan.engine import compile_re2
from backstay.scan.rule import Rule
from backstay.scan.secrets import secret_rules

RULES = secret_rules()


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in scan_secrets(text)]


def accepted(rule: Rule, seed: int = 3) -> str:
    """A made-up text of the rule's shape that its check lets pass."""
    rng = random.Random(seed)
    if rule.kind == "jwt":
        segment = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
        return f"{segment}.{segment}.c2ln"
    for _ in range(400):
        text = made(rule, rng)
        span = rule.match(text.encode(), 0)
        if span is not None and rule.severity_of(text.encode()[slice(*span)]) is not None:
            return text
    raise AssertionError(f"no text of {rule.kind} passes its check")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.gate.decode()}")
def test_each_rule_finds_its_kind(rule: Rule) -> None:
    text = accepted(rule)
    assert rule.kind in kinds(f"here: {text} \n") and rule.kind in kinds(text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.gate.decode()}")
def test_each_rule_leaves_its_gate_alone(rule: Rule) -> None:
    gate = rule.gate.decode()
    assert rule.kind not in kinds(f"the words {gate} and {gate}x, {gate} = none. {PROSE}")


def test_at_least_sixty_kinds() -> None:
    assert len(secret_kinds()) >= 60


def test_prose_holds_no_secret() -> None:
    assert kinds(PROSE * 5) == []


@pytest.mark.parametrize(
    "text",
    [
        "password = ${DB_PASSWORD}",
        "api_key: your-api-key-here1",
        "token = 123e4567-e89b-12d3-a456-426614174000",
        'secret = "correct horse"',
        "https://example.org:8080/a@b",
        "postgres://user:$PASSWORD@host/db",
        "APARTMENTBUILDING",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert kinds(text) == []


def test_check_digits_decide_how_sure_it_is() -> None:
    token = token_with_check("ghp" + "_", 1)
    other = token[:-1] + ("a" if token[-1] != "a" else "b")
    assert [scan_secrets(t)[0].severity for t in (token, other)] == ["critical", "high"]


def test_base62_of_a_crc_by_hand() -> None:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    value = 0
    for char in base62_crc32(b"harbour"):
        value = value * 62 + digits.index(char)
    assert value == zlib.crc32(b"harbour")


def test_spans_lie_in_the_original_and_evidence_tells_nothing() -> None:
    secret = "AKIA" + "Q" * 8 + "7" * 8
    hidden = secret[:6] + "\u200b" + secret[6:]
    (finding,) = scan_secrets(f"é “key” {hidden}!")
    assert finding.span is not None
    assert f"é “key” {hidden}!"[slice(*finding.span)] == hidden
    assert secret[:4] not in finding.evidence and "21 characters" in finding.evidence


def test_only_the_value_of_an_assignment_is_the_finding() -> None:
    text = 'db_password = "' + "k3Zq9w" + 'Pl2xV7"'
    (finding,) = scan_secrets(text)
    assert finding.span == (15, 27)
    (login,) = scan_secrets("postgres://me:" + "pa55" + "@host/db")
    assert login.span == (14, 18)


def test_a_secret_inside_base64_spans_the_encoded_stretch() -> None:
    coded = base64.b64encode(("export KEY=AKIA" + "Q7" * 8).encode()).decode()
    (finding,) = scan_secrets(f"run {coded} now")
    assert finding.kind == "aws_access_key_id" and finding.span == (4, 4 + len(coded))


def test_a_private_key_runs_to_its_end_or_to_the_end_of_the_text() -> None:
    head, tail = "-----BEGIN RSA " + "PRIVATE KEY-----", "-----END RSA " + "PRIVATE KEY-----"
    text = f"a {head}\nMADEUP\n{tail} b"
    assert scan_secrets(text)[0].span == (2, len(text) - 2)
    assert scan_secrets(f"a {head}\nMADEUP")[0].span == (2, len(f"a {head}\nMADEUP"))


def test_evidence_is_keyed() -> None:
    assert Evidence().of("value") == "5 characters"
    assert Evidence(b"one").of("value") != Evidence(b"two").of("value") == Evidence(b"two").of("value")


def test_a_spent_budget_is_told() -> None:
    findings = SecretScanner().scan(View.of("x"), Budget(time.monotonic() - 1))
    assert [finding.kind for finding in findings] == [NOT_SCANNED]
    scanner: Scanner = SecretScanner()
    assert scanner.max_match_length is None and scanner.cost_class == "micro"


def test_entropy_uuid_and_randomness() -> None:
    assert entropy_bits(b"aabb") == 1.0 and entropy_bits(b"abcdefgh") == 3.0 and entropy_bits(b"") == 0.0
    assert is_uuid(b"123e4567-e89b-12d3-a456-426614174000") and not is_uuid(b"123e4567-e89b")
    assert looks_random(b"k3Zq9wPl2x") and not looks_random(b"correcthorse")


def test_a_missing_package_names_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_re2.cache_clear()
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ResourceError, match=r"backstay\[guard\]"):
        compile_re2(b"never compiled before")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "piece", ["eyJ0-", "eyJ0.eyJ", "password=", "-----BEGIN ", "://a:b", "sk-", "SG. ", "a.b", "M" * 25 + "."]
)
def test_hostile_text_costs_at_most_milliseconds_a_kilobyte(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    assert (
        least_cpu_s(lambda: scan_secrets(text)) < 1.0
    )  # ten times the target, so that a busy machine does not fail it
