import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backstay.errors import BackstayError, IntegrityError, ResourceError, UsageError
from backstay.guard.gateway import local_worker
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.local_worker import LocalWorker
from backstay.guard.gateway.released_model import ReleasedModel, Trust
from backstay.guard.gateway.settings import ReleaseSettings, UpstreamSettings, checked
from backstay.guard.gateway.upstream import Upstreams
from backstay.guard.ledger import Ledger
from backstay.records import file_sha256
from backstay.storage.keys import fingerprint
from backstay.storage.release import RELEASE, ModelFolders, Release, sign_release, written_moment

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NAME = "ppo-000000000002"
RUN: dict[str, Any] = {"guard": 1, "upstreams": {"own": {"run": "ppo"}}}


class Rows:
    """A ledger that keeps its rows in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def append(self, kind: str, payload: Any) -> "Future[int]":
        self.rows.append({"kind": kind} | dict(payload))
        written: Future[int] = Future()
        written.set_result(len(self.rows))
        return written


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "journal-a.pub").write_bytes(public)
    (tmp_path / "revoked").write_text("")
    return Trust(tmp_path / "keys", tmp_path / "revoked", cast("Ledger", Rows()))


def signed(root: Path, days: float = 1) -> dict[str, Any]:
    """A released run on disk; what a worker says of it."""
    folders = ModelFolders(root / "runs", root / "base")
    for name in (f"runs/{NAME}/manifest.json", f"runs/{NAME}/model/weights", "base/config.json"):
        folders.place(name).parent.mkdir(parents=True, exist_ok=True)
        folders.place(name).write_text(name)
    files = {name: file_sha256(folders.place(name)) for name in folders.files([NAME])}
    now = datetime.now(UTC)
    release = Release(
        run=NAME,
        manifest=files[f"runs/{NAME}/manifest.json"],
        gates={},
        created_at=written_moment(now),
        expires_at=written_moment(now + timedelta(days=days)),
        key=fingerprint(KEY.public_key()),
    )
    (root / "runs" / NAME / RELEASE).write_bytes(sign_release(release, files, KEY))
    digest = ReleasedDigest(root).digest
    return {"run": NAME, "release": digest, "runs": str(folders.runs), "base": str(folders.base)}


class ReleasedDigest:
    """The digest of a release, read off its envelope."""

    def __init__(self, root: Path) -> None:
        envelope = json.loads((root / "runs" / NAME / RELEASE).read_text())
        self.digest = hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()


def worker(home: Path, environment: dict[str, str] | None = None, trust: Trust | None = None) -> LocalWorker:
    return LocalWorker("own", UpstreamSettings(run="ppo", start_s=20), home, environment or {}, trust)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"upstreams": {"a": {"run": "ppo", "base_url": "http://a/v1"}}}, "not both"),
        ({"upstreams": {"a": {}}}, "base_url or run"),
        ({"upstreams": {"a": {"run": "ppo", "models": ["gpt"]}}}, "named after it"),
        ({"upstreams": {"a": {"run": "ppo", "api_key_variable": "K"}}}, "key of its own"),
        ({"upstreams": {"a": {"run": "--help"}}}, "is no run"),
        ({"signed_only": True}, "trusted_keys"),
        (
            {"signed_only": True, "releases": {"trusted_keys": "k"}, "upstreams": {"a": {"base_url": "http://a/v1"}}},
            "what a serves is not known",
        ),
    ],
)
def test_settings_that_cannot_be_meant(change: dict[str, Any], says: str) -> None:
    checked(RUN, "test")
    with pytest.raises(UsageError, match=says):
        checked(RUN | change, "test")


def test_a_worker_is_given_no_key_of_others(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "OPENAI_API_KEY": "s", "HOME": "/", "DATABASE_URL": "s", "HF_HOME": "h"}
    found = worker(tmp_path, given)
    assert found._variables() == {"PATH": "/bin", "LC_ALL": "C", "HOME": "/", "HF_HOME": "h"}
    assert found._command()[3:6] == ["backstay.cli", "serve-policy", "ppo"]


SCRIPTS: dict[str, tuple[str, type[BackstayError], str]] = {
    "integrity": ('print(\'{"error": {"exit_code": 4, "message": "forged"}}\')', IntegrityError, "own: forged"),
    "usage": ('print(\'noise\'); print(\'{"error": {"exit_code": 2, "message": "no run"}}\')', UsageError, "no run"),
    "silence": ("raise SystemExit(3)", ResourceError, "status 3 and no word"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_why_a_worker_did_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    script, kind, says = SCRIPTS[name]
    monkeypatch.setattr(LocalWorker, "_command", lambda self: [sys.executable, "-c", script])
    with pytest.raises(kind, match=says):
        asyncio.run(worker(tmp_path).start())


LISTENING = """
import json, sys
token = sys.stdin.readline().strip()
print(json.dumps({"url": "http://127.0.0.1:9", "run": "ppo-1", "models": ["ppo"], "release": RELEASE}), flush=True)
sys.stdin.read()
"""


def listening(monkeypatch: pytest.MonkeyPatch, release: str = "None") -> None:
    script = LISTENING.replace("RELEASE", release)
    monkeypatch.setattr(LocalWorker, "_command", lambda self: [sys.executable, "-c", script])


def test_a_worker_ends_with_its_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch)

    async def started() -> None:
        one = worker(tmp_path)
        with pytest.raises(ApiFault) as fault:
            one.address()
        assert (fault.value.status, fault.value.code) == (503, "upstream_down")
        await one.start()
        url, token = one.address()
        assert url == "http://127.0.0.1:9/v1" and len(token) >= 40 and one.models == ("ppo",)
        process = one._process
        assert process is not None and process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0
        await one.start()
        assert one.address()[1] != token  # Each process has its own.
        upstreams = Upstreams(checked(RUN, "test"), {}, {"own": one})
        assert upstreams.of("ppo").address() == one.address()
        with pytest.raises(ApiFault, match="no upstream serves"):
            upstreams.of("gpt")
        await one.close()
        assert one.pid is None

    asyncio.run(started())


def test_a_worker_that_refuses_the_files_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: Trust
) -> None:
    told = json.dumps({"url": "http://127.0.0.1:9", "models": ["ppo"]} | signed(tmp_path))
    bad = json.dumps({"error": {"exit_code": 4, "message": "base/config.json has another sha256"}})
    starts = tmp_path / "starts"
    script = (
        f"import sys, pathlib\nstarts = pathlib.Path({str(starts)!r})\ncount = len(starts.read_text())\n"
        f"starts.write_text('x' * (count + 1))\n"
        f"print([{told!r}, 'no JSON, and the end', {told!r}, {bad!r}][count], flush=True)"
    )
    starts.write_text("")
    monkeypatch.setattr(LocalWorker, "_command", lambda self: [sys.executable, "-c", script])
    monkeypatch.setattr(local_worker, "FIRST_PAUSE_S", 0.01)

    async def tended() -> LocalWorker:
        one = worker(tmp_path, trust=trust)
        await one.start()
        await asyncio.wait_for(one.tend(), 20)
        return one

    one = asyncio.run(tended())
    assert "another sha256" in one.refused and len(starts.read_text()) == 4
    events = [row["event"] for row in cast("Rows", trust.ledger).rows]
    assert events == ["release", "release", "release_refused"]  # Each time it is loaded counts.


def test_a_worker_that_does_not_say_what_it_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: Trust
) -> None:
    listening(monkeypatch)
    with pytest.raises(IntegrityError, match="no signed release"):
        asyncio.run(worker(tmp_path, trust=trust).start())


def test_after_its_time_nothing_is_served(tmp_path: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker(tmp_path, trust=trust)
    one._at = ("http://127.0.0.1:9/v1", "t")
    one.release = ReleasedModel.open("own", signed(tmp_path), trust)
    assert one.address()[1] == "t"
    monkeypatch.setattr(ReleasedModel, "expired", lambda self: True)
    for _ in range(2):
        with pytest.raises(ApiFault, match="expired at") as fault:
            one.address()
        assert (fault.value.status, fault.value.code) == (503, "release_refused")
    rows = cast("Rows", trust.ledger).rows
    assert [(row["kind"], row["event"]) for row in rows] == [
        ("guard.admin", "release"),
        ("guard.admin", "release_refused"),
    ]


CHANGES: dict[str, Callable[[Path], object]] = {
    "sha256": lambda root: (root / "base" / "config.json").write_text("other"),
    "is missing": lambda root: (root / "runs" / NAME / "model" / "weights").unlink(),
    "not in the release": lambda root: (root / "runs" / NAME / "model" / "new").write_text(""),
    "no signed release": lambda root: (root / "runs" / NAME / RELEASE).unlink(),
    "is revoked": lambda root: (root / "revoked").write_text(ReleasedDigest(root).digest),
    "cannot be read": lambda root: (root / "revoked").unlink(),
    "not trusted": lambda root: (root / "keys" / "journal-a.pub").unlink(),
}


@pytest.mark.parametrize("says", CHANGES)
def test_what_ends_a_release(tmp_path: Path, trust: Trust, says: str) -> None:
    one = worker(tmp_path, trust=trust)
    one.release = ReleasedModel.open("own", signed(tmp_path), trust)
    assert not asyncio.run(one.check())
    CHANGES[says](tmp_path)
    assert asyncio.run(one.check())
    with pytest.raises(ApiFault, match=says):
        one.address()


def test_a_release_signed_anew_for_the_same_files_is_taken_up(tmp_path: Path, trust: Trust) -> None:
    found = ReleasedModel.open("own", signed(tmp_path), trust)
    first = found.signed.digest
    signed(tmp_path, days=5)
    found.check()
    rows = cast("Rows", trust.ledger).rows
    assert [row["release"] for row in rows] == [first, found.signed.digest] and first != found.signed.digest


def test_the_release_that_was_loaded_is_the_one_that_counts(tmp_path: Path, trust: Trust) -> None:
    told = signed(tmp_path)
    with pytest.raises(IntegrityError, match="exchanged while"):
        ReleasedModel.open("own", told | {"release": "0" * 64}, trust)
    assert not cast("Rows", trust.ledger).rows


def test_a_folder_without_keys_trusts_nobody(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no journal"):
        Trust.of(ReleaseSettings(trusted_keys="keys"), tmp_path, cast("Ledger", Rows()))
