"""Somebody who may write the bundle file, but does not hold a trusted key, wants another policy to decide."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signed_policies import KEY, NOW, OTHER_KEY, pay_up_to, trusted, write_signed

from backstay.errors import BackstayError, IntegrityError
from backstay.policy.bundle_file import MAX_FILE_BYTES, open_signed, open_signed_bytes, sign_policy
from backstay.policy.policy_texts import PolicyText
from backstay.records import canonical_json, sha256_hex
from backstay.storage.keys import fingerprint

pytestmark = pytest.mark.hostile
GOOD = sign_policy((PolicyText("pay.yaml", pay_up_to(50)),), KEY, 3, now=NOW, valid_days=1)


def opened(data: bytes) -> Any:
    return open_signed_bytes(data, "it", trusted(KEY), now=NOW)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The good bundle with a change, in the right form, and with the old signature."""
    written = json.loads(GOOD)
    change(written)
    return canonical_json(written) + b"\n"


def resigned(change: Callable[[dict[str, Any]], object], key: Any = KEY) -> bytes:
    """The same, signed again: what a signer with a broken tool might make."""
    written = json.loads(GOOD)
    change(written["statement"])
    message = b"backstay.policy-bundle 1\n" + canonical_json(written["statement"])
    written["signature"] = base64.b64encode(key.sign(message)).decode()
    return canonical_json(written) + b"\n"


def test_the_good_one_opens() -> None:
    assert opened(GOOD).statement.version == 3
    assert resigned(lambda statement: None) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w["statement"].update(version=4),
        lambda w: w["statement"].update(expires_at=None),
        lambda w: w["statement"].update(cases=9),
        lambda w: w["statement"]["files"][0].update(text=pay_up_to(5000)),
        lambda w: w["statement"]["files"][0].update(text=pay_up_to(5000), sha256=sha256_hex(pay_up_to(5000).encode())),
        lambda w: w["statement"]["files"].append(w["statement"]["files"][0]),
        lambda w: w.update(signature=base64.b64encode(bytes(64)).decode()),
        lambda w: w.update(signature=""),
        lambda w: w.update(signature="!" + w["signature"]),
        lambda w: w.update(signature=w["signature"] + "\n"),
        lambda w: w.update(signature="\u0661" * 88),
    ],
)
def test_any_change_breaks_the_signature(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(IntegrityError, match="forged or damaged signature"):
        opened(changed(change))


def test_a_signature_of_an_untrusted_key_that_names_a_trusted_one_does_not_hold() -> None:
    with pytest.raises(IntegrityError, match="forged"):
        opened(resigned(lambda statement: statement.update(version=9), OTHER_KEY))


def test_a_signature_without_its_context_does_not_hold() -> None:
    written = json.loads(GOOD)
    written["signature"] = base64.b64encode(KEY.sign(canonical_json(written["statement"]))).decode()
    with pytest.raises(IntegrityError, match="forged"):
        opened(canonical_json(written) + b"\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["files"][0].update(text=pay_up_to(5000)), "does not match its hash"),
        (lambda s: s.update(policy="0" * 64), "states the policy 000000000000, but its texts are"),
        (lambda s: s.update(expires_at="2026-02-31T00:00:00Z"), "a time that does not exist"),
        (lambda s: s.update(created_at="2026-03-09T12:00:00Z"), "expired"),
        (lambda s: s.update(version=0), "no policy bundle: statement.version"),
        (lambda s: s.update(version=True), "no policy bundle: statement.version"),
        (lambda s: s.update(version="3"), "no policy bundle: statement.version"),
        (lambda s: s.update(version=2**53), "no policy bundle"),
        (lambda s: s.update(files=[]), "no policy bundle: statement.files"),
        (lambda s: s.update(type="backstay.seal"), "no policy bundle: statement.type"),
        (lambda s: s.update(extra=1), "no policy bundle: statement.extra"),
        (lambda s: s.update(key="A" * 64), "no policy bundle: statement.key"),
    ],
)
def test_a_statement_that_is_wrong_is_refused_though_it_is_signed(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    try:
        data = resigned(change)
    except ValueError:
        data = changed(lambda w: None).replace(b'"version":3', b'"version":9007199254740992')
    with pytest.raises(IntegrityError, match=message):
        opened(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        GOOD[:-1],
        GOOD + b"\n",
        b" " + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b'"version":3', b'"version":3.0'),
        GOOD.replace(b'"version":3', b'"version":3,"version":3'),
        GOOD.replace(b'"version":3', b'"version":9,"version":3'),
        GOOD.replace(b'"version":3', b'"version": 3'),
        GOOD.replace(b'"version":3', b'"version":NaN'),
        GOOD.replace(b'"statement"', b'"st\\u0061tement"'),
        json.dumps(json.loads(GOOD), indent=1).encode(),
    ],
)
def test_only_the_very_bytes_that_are_written_are_read(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no policy bundle"):
        opened(data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_flipped_byte_opens(place: int, mask: int) -> None:
    data = bytearray(GOOD)
    data[place] ^= mask
    with pytest.raises(BackstayError):
        opened(bytes(data))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(IntegrityError, match="is not read"):
        open_signed(path, trusted(KEY))


def test_a_policy_that_no_longer_compiles_does_not_open(tmp_path: Path) -> None:
    broken = pay_up_to(50).replace("args.amount", "args.amount +")

    def change(statement: dict[str, Any]) -> None:
        statement["files"][0].update(text=broken, sha256=sha256_hex(broken.encode()))

    with pytest.raises(BackstayError, match=r"pay.yaml: rule pay, when"):
        opened(resigned(change))


def test_a_bundle_of_one_key_is_not_one_of_another(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "p", key=OTHER_KEY)
    path.write_bytes(
        path.read_bytes().replace(fingerprint(OTHER_KEY.public_key()).encode(), fingerprint(KEY.public_key()).encode())
    )
    with pytest.raises(IntegrityError, match="forged"):
        open_signed(path, trusted(KEY), now=NOW)
