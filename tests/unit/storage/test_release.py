import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backstay.errors import IntegrityError
from backstay.records import canonical_json, file_sha256, sha256_hex
from backstay.storage.keys import fingerprint
from backstay.storage.release import (
    RELEASE,
    Gate,
    ModelFolders,
    Release,
    check_files,
    check_revoked,
    file_marks,
    open_release,
    read_revoked,
    sign_release,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NAME = "ppo-000000000002"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRUSTED = {fingerprint(KEY.public_key()): KEY.public_key()}


@pytest.fixture
def folders(tmp_path: Path) -> ModelFolders:
    found = ModelFolders(tmp_path / "runs", tmp_path / "base")
    for name in (f"runs/{NAME}/manifest.json", f"runs/{NAME}/model/a/weights", "base/config.json"):
        found.place(name).parent.mkdir(parents=True, exist_ok=True)
        found.place(name).write_text(name)
    return found


def signed(folders: ModelFolders, key: Ed25519PrivateKey = KEY, **changes: Any) -> Path:
    """A run with a release; the run's folder."""
    files = {name: file_sha256(folders.place(name)) for name in folders.files([NAME])}
    files |= changes.pop("files", {})
    facts: dict[str, Any] = {
        "run": NAME,
        "manifest": files[f"runs/{NAME}/manifest.json"],
        "gates": {"ppo/kl": Gate(passed=True, value=0.25)},
        "created_at": "2026-02-01T00:00:00Z",
        "expires_at": "2026-04-01T00:00:00Z",
        "key": fingerprint(key.public_key()),
    }
    run = folders.runs / NAME
    (run / RELEASE).write_bytes(sign_release(Release(**facts | changes), files, key))
    return run


def rewritten(run: Path, change: Callable[[dict[str, Any]], Any], key: Ed25519PrivateKey | None = None) -> None:
    """Change the statement under the old signature, or under one by `key`."""
    envelope = json.loads((run / RELEASE).read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = canonical_json(statement)
    envelope["payload"] = base64.b64encode(payload).decode()
    if key is not None:
        envelope["signatures"][0]["sig"] = base64.b64encode(key.sign(encoded(payload))).decode()
    (run / RELEASE).write_text(json.dumps(envelope))


def encoded(payload: bytes) -> bytes:
    """DSSE's encoding, written out as its specification has it: lengths in decimal, single spaces."""
    kind = b"application/vnd.in-toto+json"
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])


def test_a_release_that_holds(folders: ModelFolders) -> None:
    run = signed(folders)
    found = open_release(run, TRUSTED, now=NOW)
    check_files(found, folders)
    envelope = json.loads((run / RELEASE).read_text())
    payload = base64.b64decode(envelope["payload"])
    KEY.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), encoded(payload))
    assert found.digest == sha256_hex(payload) and found.runs == {NAME}
    assert found.files == {
        name: sha256_hex(name.encode())
        for name in (f"runs/{NAME}/manifest.json", f"runs/{NAME}/model/a/weights", "base/config.json")
    }
    assert found.release.gates["ppo/kl"].value == 0.25


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s["predicate"].update(expires_at="2036-04-01T00:00:00Z"), "forged"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "forged"),
        (lambda s: s["subject"].pop(), "forged"),
    ],
)
def test_nothing_of_a_release_can_be_changed(folders: ModelFolders, change: Any, says: str) -> None:
    run = signed(folders)
    rewritten(run, change)
    with pytest.raises(IntegrityError, match=says):
        open_release(run, TRUSTED, now=NOW)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s["predicate"].update(more=1), "more"),
        (lambda s: s["subject"].append(s["subject"][0]), "twice"),
        (lambda s: s["subject"][0].update(name="runs/../../etc/passwd"), "no name of a file"),
        (lambda s: s["subject"][0].update(name="/etc/passwd"), "no name of a file"),
        (lambda s: s["subject"][0].update(name="base"), "no name of a file"),
        (lambda s: s["subject"][0].update(name=""), "no name of a file"),
        (lambda s: s["subject"][0].update(name="runs//a/b"), "no name of a file"),
        (lambda s: s.update(predicateType="urn:other"), "predicateType"),
        (lambda s: s["predicate"].update(expires_at="2026-13-01T00:00:00Z"), "does not match"),
        (lambda s: s["predicate"].update(manifest="0" * 64), "two manifests"),
        (lambda s: s["predicate"].update(key="0" * 64), "another key"),
        (lambda s: s["predicate"]["gates"]["ppo/kl"].update(passed=False), "gates"),
    ],
)
def test_a_signature_does_not_make_nonsense_a_release(folders: ModelFolders, change: Any, says: str) -> None:
    run = signed(folders)
    rewritten(run, change, KEY)
    with pytest.raises(IntegrityError, match=says):
        open_release(run, TRUSTED, now=NOW)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"payloadType": 1}', b"null"])
def test_what_is_no_envelope(folders: ModelFolders, data: bytes) -> None:
    run = folders.runs / NAME
    (run / RELEASE).write_bytes(data)
    with pytest.raises(IntegrityError, match="no signed release"):
        open_release(run, TRUSTED, now=NOW)


def test_who_signed_counts(folders: ModelFolders) -> None:
    run = signed(folders, OTHER)
    with pytest.raises(IntegrityError, match="not trusted"):
        open_release(run, TRUSTED, now=NOW)
    rewritten(run, lambda s: None)
    envelope = json.loads((run / RELEASE).read_text())
    envelope["signatures"][0]["keyid"] = fingerprint(KEY.public_key())
    (run / RELEASE).write_text(json.dumps(envelope))
    with pytest.raises(IntegrityError, match="forged"):
        open_release(run, TRUSTED, now=NOW)


def test_a_release_is_of_one_run_and_for_a_time(folders: ModelFolders) -> None:
    run = signed(folders)
    edge = datetime(2026, 4, 1, tzinfo=UTC)
    open_release(run, TRUSTED, now=edge - timedelta(seconds=1))
    with pytest.raises(IntegrityError, match="expired at 2026-04-01"):
        open_release(run, TRUSTED, now=edge)
    moved = run.rename(folders.runs / "ppo-000000000003")
    with pytest.raises(IntegrityError, match="not of ppo-000000000003"):
        open_release(moved, TRUSTED, now=NOW)
    (moved / RELEASE).unlink()
    with pytest.raises(IntegrityError, match="no signed release"):
        open_release(moved, TRUSTED, now=NOW)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (f"runs/{NAME}/model/a/weights", "other", "has sha256"),
        (f"runs/{NAME}/model/a/weights", None, "is missing"),
        (f"runs/{NAME}/model/.hidden", "new", "not in the release"),
        (f"runs/{NAME}/manifest.json", "other", "has sha256"),
        ("base/config.json", "other", "has sha256"),
        ("base/chat_template.jinja", "new", "not in the release"),
    ],
)
def test_every_file_counts(folders: ModelFolders, name: str, text: str | None, says: str) -> None:
    found = open_release(signed(folders), TRUSTED, now=NOW)
    marks = file_marks(found, folders)
    path = folders.place(name)
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(IntegrityError, match=says):
        check_files(found, folders)
    assert file_marks(found, folders) != marks


def test_a_file_that_is_exchanged_and_put_back_has_other_marks(folders: ModelFolders) -> None:
    found = open_release(signed(folders), TRUSTED, now=NOW)
    marks = file_marks(found, folders)
    path = folders.place("base/config.json")
    aside = path.rename(path.with_name("aside"))
    path.write_text("other")
    aside.replace(path)
    check_files(found, folders)
    assert file_marks(found, folders) != marks


def test_revoked(folders: ModelFolders, tmp_path: Path) -> None:
    found = open_release(signed(folders), TRUSTED, now=NOW)
    path = tmp_path / "revoked.txt"
    path.write_text(f"# why\n\n{'0' * 64} old one\n")
    check_revoked(found, read_revoked(path))
    for digest in (found.digest.upper(), fingerprint(KEY.public_key())):
        path.write_text(f"{digest} leaked # on the first\n")
        with pytest.raises(IntegrityError, match="revoked"):
            check_revoked(found, read_revoked(path))
    for wrong in ("abc\n", "g" * 64):
        path.write_text(wrong)
        with pytest.raises(IntegrityError, match="no digest"):
            read_revoked(path)
    path.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_revoked(path)


def test_a_link_to_a_folder_is_no_part_of_a_release(folders: ModelFolders, tmp_path: Path) -> None:
    found = open_release(signed(folders), TRUSTED, now=NOW)
    (tmp_path / "elsewhere").mkdir()
    (folders.base / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="base/more is not in the release"):
        check_files(found, folders)
