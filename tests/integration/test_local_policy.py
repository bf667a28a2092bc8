"""A policy of our own, served by a worker: OpenAI's client on it, the gateway in front of it, and signed releases."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from tiny_loop import load_tiny
from trained_runs import PPO, SFT, run_of, write_trained_runs

from backstay.pipeline.project import Project
from backstay.pipeline.release import release_run
from backstay.storage.engine import open_database
from backstay.storage.journal import read_entries
from backstay.storage.keys import fingerprint, signing_key
from backstay.storage.release import open_release

pytestmark = pytest.mark.integration
ASK: dict[str, Any] = {"model": "ppo", "messages": [{"role": "user", "content": "what is the sun ?"}], "max_tokens": 12}
PASS = "policy: 1\nrules: [{id: all, effect: permit, match: {point: model.output}, reason: fine}]\n"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with finished runs on the tiny model, whose base lies in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield write_trained_runs(tmp_path_factory.mktemp("project") / "p", load_tiny())


@pytest.fixture
def project(trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy that a test may damage, with a cache of its own."""
    shutil.copytree(trained.root, tmp_path / "p")
    shutil.copytree(os.environ["BACKSTAY_CACHE"], tmp_path / "cache")
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "cache"))
    return Project(tmp_path / "p")


def release(project: Project, keys: Path) -> str:
    """Sign the run of ppo; the release's digest."""
    key = signing_key(keys)
    release_run(run_of(project, PPO), key, valid_days=30)
    return open_release(project.runs / PPO, {fingerprint(key.public_key()): key.public_key()}).digest


@contextlib.contextmanager
def process(*command: str, **environment: str) -> Iterator[tuple[dict[str, Any], "subprocess.Popen[str]"]]:
    """A command of ours with its first line of JSON."""
    started = subprocess.Popen(
        [sys.executable, "-m", "backstay.cli", *command, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    timer = threading.Timer(90, started.kill)
    timer.start()
    try:
        assert started.stdout is not None
        yield json.loads(started.stdout.readline()), started
    finally:
        timer.cancel()
        started.terminate()
        started.wait(20)
        started.stdout.close()  # type: ignore[union-attr]  # it was piped


@contextlib.contextmanager
def gateway(project: Project, **settings: Any) -> Iterator[tuple[dict[str, Any], "subprocess.Popen[str]"]]:
    """`backstay guard serve` in front of the run of ppo."""
    with process("guard", "serve", "-c", str(written(project, **settings))) as started:
        yield started


def written(project: Project, **settings: Any) -> Path:
    """A guard.yaml for the run of ppo."""
    home = project.root.parent / "guard"
    home.mkdir(exist_ok=True)
    (home / "policy.yaml").write_text(PASS)
    config = {
        "guard": 1,
        "port": 0,
        "upstreams": {"own": {"run": "ppo", "project": "../p", "retries": 0}},
        "policies": ["policy.yaml"],
        **settings,
    }
    (home / "guard.yaml").write_text(yaml.safe_dump(config))
    return home / "guard.yaml"


def client(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=30)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(done: Callable[[], Any], within_s: float = 30) -> Any:
    """Wait for what comes of another process."""
    deadline = time.monotonic() + within_s
    while not (found := done()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def admin_rows(project: Project) -> list[dict[str, Any]]:
    engine = open_database(project.root.parent / "guard" / ".backstay" / "guard.db")
    with engine.connect() as connection:
        found = [json.loads(entry.payload) for entry in read_entries(connection, "guard.admin")]
    engine.dispose()
    return found


def test_the_openai_client_on_serve_policy(project: Project) -> None:
    command = ("serve-policy", "ppo", "--project", str(project.root), "--port", "0")
    with process(*command, BACKSTAY_POLICY_TOKEN="s3cret") as (told, served):
        assert told["models"] == ["ppo", PPO]
        with pytest.raises(openai.AuthenticationError):
            client(f"{told['url']}/v1", "wrong").models.list()
        with client(f"{told['url']}/v1", "s3cret") as own:
            assert [model.id for model in own.models.list()] == ["ppo", PPO]
            whole = own.chat.completions.create(**ASK, seed=3, n=2)
            first, second = (choice.message.content for choice in whole.choices)
            assert first and second and first != second
            assert whole.usage and whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
            pieces = {0: "", 1: ""}
            reasons: dict[int, str | None] = {}
            events = 0
            options: Any = {"include_usage": True}
            for chunk in own.chat.completions.create(**ASK, seed=3, n=2, stream=True, stream_options=options):
                for choice in chunk.choices:
                    events += 1
                    pieces[choice.index] += choice.delta.content or ""
                    reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
                usage = chunk.usage
            assert pieces == {0: first, 1: second} and events > 6
            assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
            assert usage == whole.usage
            greedy = {own.chat.completions.create(**ASK, temperature=0).choices[0].message.content for _ in range(2)}
            assert len(greedy) == 1
            plain = own.completions.create(model=PPO, prompt="the sun is", max_tokens=5, seed=1)
            assert plain.choices[0].text and plain.usage and plain.usage.prompt_tokens == 3
            with pytest.raises(openai.NotFoundError):
                own.chat.completions.create(**ASK | {"model": "gpt-4"})
            with pytest.raises(openai.BadRequestError, match="tools"):
                own.chat.completions.create(**ASK, tools=[{"type": "function", "function": {"name": "f"}}])
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) == 0


def test_the_gateway_in_front_of_its_worker(project: Project) -> None:
    with gateway(project) as (told, guard):
        url = f"{told['address']}/v1"
        with client(url) as own:
            assert [model.id for model in own.models.list()] == ["ppo", PPO]
            whole = own.chat.completions.create(**ASK, seed=3)
            streamed = "".join(
                choice.delta.content or ""
                for chunk in own.chat.completions.create(**ASK, seed=3, stream=True)
                for choice in chunk.choices
            )
            assert streamed == whole.choices[0].message.content and streamed
            (worker,) = children(guard.pid)
            loaded = Path(f"/proc/{guard.pid}/maps").read_text()
            assert "libtorch" not in loaded and "libtorch" in Path(f"/proc/{worker}/maps").read_text()
            environment = Path(f"/proc/{worker}/environ").read_text()
            command = Path(f"/proc/{worker}/cmdline").read_text()
            assert "TOKEN" not in environment.upper().replace("HF_TOKEN", "") and "--token-stdin" in command
            os.kill(worker, signal.SIGKILL)
            fault = until(lambda: down(own))
            assert fault.status_code == 503 and fault.body["code"] == "upstream_down"
            again = until(lambda: answered(own))
            assert again.choices[0].message.content == whole.choices[0].message.content
            (second,) = children(guard.pid)
            assert second != worker
        guard.kill()
        guard.wait(10)
        until(lambda: not Path(f"/proc/{second}").exists() or "Z" in Path(f"/proc/{second}/stat").read_text())


def down(own: openai.OpenAI) -> Any:
    try:
        own.chat.completions.create(**ASK, seed=3)
    except openai.InternalServerError as error:
        return error if error.status_code == 503 else None
    return None


def answered(own: openai.OpenAI) -> Any:
    try:
        return own.chat.completions.create(**ASK, seed=3)
    except openai.InternalServerError:
        return None


def test_only_a_signed_release_is_served_and_not_after_it_is_revoked(project: Project, tmp_path: Path) -> None:
    digest = release(project, tmp_path / "keys")
    shutil.copytree(tmp_path / "keys", tmp_path / "trusted", ignore=lambda *_: ["journal.pem"])
    revoked = tmp_path / "revoked.txt"
    revoked.write_text("# none yet\n")
    releases = {"trusted_keys": "../trusted", "revoked": "../revoked.txt", "check_s": 0.1}
    with gateway(project, signed_only=True, releases=releases) as (told, guard):
        (row,) = admin_rows(project)
        assert (row["event"], row["run"], row["release"]) == ("release", PPO, digest)
        with client(f"{told['address']}/v1") as own:
            assert own.chat.completions.create(**ASK).choices[0].message.content
            os.utime(project.runs / PPO / "model" / "adapter_config.json")  # Touched, and the same.
            weights = project.runs / SFT / "model" / "adapter_model.safetensors"
            (worker,) = children(guard.pid)
            revoked.write_text(f"{digest} found to leak\n")
            fault = until(lambda: down(own))
            assert fault.body["code"] == "release_refused" and "revoked" in fault.body["message"]
            until(lambda: not children(guard.pid))
            assert not Path(f"/proc/{worker}").exists() and weights.exists()
    assert [row["event"] for row in admin_rows(project)] == ["release", "release_refused"]


def test_files_that_change_while_they_are_served(project: Project, tmp_path: Path) -> None:
    release(project, tmp_path / "keys")
    releases = {"trusted_keys": "../keys", "check_s": 0.1}
    with gateway(project, signed_only=True, releases=releases) as (told, _):
        flip(project.runs / SFT / "model" / "adapter_model.safetensors")
        with client(f"{told['address']}/v1") as own:
            fault = until(lambda: down(own))
            assert fault.body["code"] == "release_refused" and "sha256" in fault.body["message"]
    with gateway(project, signed_only=True, releases=releases) as (told, guard):
        assert "not the released one" in told["error"]["message"]
        assert guard.wait(20) == 4


def test_an_unsigned_run_does_not_start(project: Project, tmp_path: Path) -> None:
    signing_key(tmp_path / "keys")
    with gateway(project, signed_only=True, releases={"trusted_keys": "../keys"}) as (told, guard):
        assert "no signed release" in told["error"]["message"]
        assert guard.wait(20) == 4
    assert admin_rows(project) == []


SERVE = """
import asyncio, json, os, sys
from pathlib import Path
from backstay.guard.gateway.server import Server
from backstay.guard.gateway.settings import read_guard_settings
settings = read_guard_settings(Path(sys.argv[1]))
ready = lambda address, parts: print(json.dumps(address), flush=True)
asyncio.run(Server(settings, Path(sys.argv[1]).parent, os.environ).run(ready))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} | {n for n in sys.modules if "." in n})))
"""


def test_no_model_library_is_imported_by_the_gateway(project: Project) -> None:
    config = written(project)
    served = subprocess.Popen([sys.executable, "-c", SERVE, str(config)], stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(60, served.kill)
    timer.start()
    assert served.stdout is not None
    with client(f"{json.loads(served.stdout.readline())}/v1") as own:
        assert own.chat.completions.create(**ASK).choices[0].message.content
    served.terminate()
    modules = json.loads(served.communicate(timeout=30)[0])
    timer.cancel()
    heavy = {"torch", "transformers", "tokenizers", "safetensors", "gguf", "backstay.learn", "backstay.pipeline"}
    assert "backstay.guard.gateway.local_worker" in modules and not heavy & set(modules)


def flip(path: Path) -> None:
    """Change the last byte of a file."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
