"""`backstay guard serve` as a process: the ledger on disk, approvals, a stop that cuts nothing off, and a restart."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from guard_gateway import LoopThread, call_message, chat_answer, deltas, post, sse, start_upstream
from inbox_site import Client

from backstay.guard.approvals import new_token
from backstay.guard.ledger import Ledger
from backstay.storage.engine import open_database
from backstay.storage.journal import read_entries
from backstay.storage.seal import Sealer
from backstay.storage.verify import verify_journal

pytestmark = pytest.mark.integration
POLICY = """
policy: 1
counters: {paid: {sum: args.amount, tool: pay, within_s: 86400}}
rules:
  - id: ask
    effect: hold
    match: {point: model.tool_call, tool: pay}
    when: args.amount > 10
    obligations: [{require_approval: {k: 1, of: [lead], expires_s: 600}}]
    reason: more than 10 is for a lead
  - id: small
    effect: permit
    match: {point: model.tool_call, tool: pay}
    when: args.amount <= 10 && counter.paid < 15.0
    reason: small
"""
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "pay"}]}


@contextlib.contextmanager
def served(home: Path, handler: Any, **settings: Any) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with LoopThread() as loop:
        port = loop.call(start_upstream(loop, handler, []))
        (home / "policy.yaml").write_text(POLICY)
        config = {
            "guard": 1,
            "port": 0,
            "upstreams": {"main": {"base_url": f"http://127.0.0.1:{port}/v1"}},
            "policies": ["policy.yaml"],
            **settings,
        }
        (home / "guard.yaml").write_text(yaml.safe_dump(config))
        process = subprocess.Popen(
            [sys.executable, "-m", "backstay.cli", "guard", "serve", "-c", str(home / "guard.yaml"), "--json"],
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        timer = threading.Timer(60, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["address"], process
        finally:
            timer.cancel()
            process.terminate()
            process.wait(20)
            process.stdout.close()  # type: ignore[union-attr]  # it was piped


def pay(amount: float) -> Any:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        message = call_message(("pay", {"amount": amount}))
        row = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return web.json_response(chat_answer() | {"choices": [row]})

    return answer


def rows(home: Path, kind: str) -> list[dict[str, Any]]:
    engine = open_database(home / ".backstay" / "guard.db")
    with engine.connect() as connection:
        found = [json.loads(entry.payload) for entry in read_entries(connection, kind)]
    engine.dispose()
    return found


def chain_holds(home: Path) -> bool:
    state = home / ".backstay"
    engine = open_database(state / "guard.db")
    report = verify_journal(engine, Sealer(state / "keys", state / "guard.seals.jsonl").read())
    engine.dispose()
    return report.ok


def test_held_approved_released_once_and_in_the_journal(tmp_path: Path) -> None:
    token, digest = new_token()
    people = {"approvers": [{"id": "ann", "roles": ["lead"], "token_sha256": digest}]}
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(people))
    (tmp_path / "people.yaml").chmod(0o600)
    with served(tmp_path, pay(50), holds={"approvers": "people.yaml"}) as (url, _):
        held = json.loads(asyncio.run(post(f"{url}/v1/chat/completions", ASK))[1])
        (approval,) = held["backstay"]["approvals"]
        approver = {"authorization": f"Bearer {token}", "x-backstay-approver": "ann"}
        again = {"x-backstay-approval": approval}
        waiting = json.loads(asyncio.run(post(f"{url}/v1/chat/completions", ASK, again))[1])
        assert waiting["backstay"]["effect"] == "hold"
        decision = {"vote": "approve", "digest": "0" * 64, "reason": "it is fine", "key": "k1"}
        status, _, _ = asyncio.run(post(f"{url}/v1/approver/approvals/{approval}/decide", decision, approver))
        assert status == 409  # Not what was shown.
        shown = asyncio.run(get(f"{url}/v1/approvals/{approval}", {}))
        decision |= {"digest": json.loads(shown)["digest"], "key": "k2"}
        status, raw, _ = asyncio.run(post(f"{url}/v1/approver/approvals/{approval}/decide", decision, approver))
        assert status == 200, raw
        other = ASK | {"messages": [{"role": "user", "content": "something else"}]}
        status, _, _ = asyncio.run(post(f"{url}/v1/chat/completions", other, again))
        assert status == 409
        released = json.loads(asyncio.run(post(f"{url}/v1/chat/completions", ASK, again))[1])
        (call,) = released["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"amount": 50}
        status, raw, _ = asyncio.run(post(f"{url}/v1/chat/completions", ASK, again))
        assert status in (403, 409) and b"tool_calls" not in raw  # Once only.
    kinds = [row["effect"] for row in rows(tmp_path, "guard.decision") if row["point"] == "model.tool_call"]
    assert kinds[:2] == ["hold", "hold"]
    assert chain_holds(tmp_path)


def test_held_and_approved_in_the_inbox(tmp_path: Path) -> None:
    token, digest = new_token()
    people = {"approvers": [{"id": "ann", "roles": ["lead"], "token_sha256": digest}]}
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(people))
    (tmp_path / "people.yaml").chmod(0o600)
    with served(tmp_path, pay(50), holds={"approvers": "people.yaml"}) as (url, _):
        held = json.loads(asyncio.run(post(f"{url}/v1/chat/completions", ASK))[1])
        (approval,) = held["backstay"]["approvals"]
        ann = Client(url)
        assert ann.post("/approvals/sign-in", {"person": "ann", "token": token}).status == 303
        assert approval in ann.get("/approvals").text
        assert ann.decide(approval, "approve", "it is fine").status == 303
        released = asyncio.run(post(f"{url}/v1/chat/completions", ASK, {"x-backstay-approval": approval}))[1]
        (call,) = json.loads(released)["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"amount": 50}
        assert any(">Done<" in ann.get("/approvals/done").text for _ in range(100))  # Noted after the last byte.


def test_edited_in_the_inbox_and_approved_by_another(tmp_path: Path) -> None:
    tokens = {name: new_token() for name in ("ann", "ben")}
    people = [{"id": name, "roles": ["lead"], "token_sha256": digest} for name, (_, digest) in tokens.items()]
    (tmp_path / "people.yaml").write_text(yaml.safe_dump({"approvers": people}))
    (tmp_path / "people.yaml").chmod(0o600)
    with served(tmp_path, pay(50), holds={"approvers": "people.yaml"}) as (url, _):
        held = json.loads(asyncio.run(post(f"{url}/v1/chat/completions", ASK))[1])
        (approval,) = held["backstay"]["approvals"]
        ann, ben = Client(url), Client(url)
        for name, client in (("ann", ann), ("ben", ben)):
            assert client.post("/approvals/sign-in", {"person": name, "token": tokens[name][0]}).status == 303
        page = ann.post(f"/approvals/{approval}/edit", ann.form(approval) | {"args": '{"amount": 20}'})
        assert page.status == 303, page.text
        edited = page.headers["location"].rpartition("/")[2]
        assert 'id="decide"' not in ann.get(f"/approvals/{edited}").text
        assert ben.decide(edited, "approve").status == 303
        released = asyncio.run(post(f"{url}/v1/chat/completions", ASK, {"x-backstay-approval": approval}))[1]
        (call,) = json.loads(released)["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"amount": 20}


def test_waiting_in_the_same_request(tmp_path: Path) -> None:
    token, digest = new_token()
    people = {"approvers": [{"id": "ann", "roles": ["lead"], "token_sha256": digest}]}
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(people))
    (tmp_path / "people.yaml").chmod(0o600)

    async def both(url: str) -> tuple[int, bytes, dict[str, str]]:
        asked = asyncio.ensure_future(post(f"{url}/v1/chat/completions", ASK, {"prefer": "wait=20"}))
        approver = {"authorization": f"Bearer {token}", "x-backstay-approver": "ann"}
        found: list[dict[str, Any]] = []
        while not found and not asked.done():
            found = json.loads(await get(f"{url}/v1/approver/approvals", approver))["approvals"]
        (one,) = found
        decision = {"vote": "approve", "digest": one["digest"], "reason": "it is fine", "key": "k"}
        await post(f"{url}/v1/approver/approvals/{one['id']}/decide", decision, approver)
        return await asked

    with served(tmp_path, pay(50), holds={"approvers": "people.yaml"}) as (url, _):
        status, raw, _ = asyncio.run(both(url))
        assert status == 200 and b"tool_calls" in raw, raw
        assert json.loads(raw)["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "pay"


def test_counters_outlive_a_restart(tmp_path: Path) -> None:
    for expected in (True, True, False):  # 8 + 8 reach 15; the third is denied, whatever was restarted between.
        with served(tmp_path, pay(8)) as (url, _):
            raw = asyncio.run(post(f"{url}/v1/chat/completions", ASK))[1]
            assert (b"tool_calls" in raw and b'"finish_reason":"tool_calls"' in raw) is expected


def test_stopping_lets_a_running_answer_end(tmp_path: Path) -> None:
    begun = threading.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(0.5)
        return await sse(request, deltas("all of ", "it"))

    with served(tmp_path, answer) as (url, process):
        done: list[tuple[int, bytes, dict[str, str]]] = []
        body = ASK | {"stream": True}
        thread = threading.Thread(target=lambda: done.append(asyncio.run(post(f"{url}/v1/chat/completions", body))))
        thread.start()
        assert begun.wait(10)
        process.send_signal(signal.SIGTERM)
        thread.join(20)
        assert b"all of" in done[0][1] and done[0][1].endswith(b"data: [DONE]\n\n")
        assert process.wait(20) == 0
    assert [row["status"] for row in rows(tmp_path, "guard.outcome")] == ["ok"]


def test_killed_and_started_again_the_chain_holds(tmp_path: Path) -> None:
    with served(tmp_path, pay(1)) as (url, process):
        asyncio.run(post(f"{url}/v1/chat/completions", ASK))
        process.kill()
        process.wait(10)
    with served(tmp_path, pay(1)) as (url, _):
        status, _, _ = asyncio.run(post(f"{url}/v1/chat/completions", ASK))
        assert status == 200
    assert chain_holds(tmp_path)
    Ledger.open(tmp_path / ".backstay" / "guard.db", keys_dir=tmp_path / ".backstay" / "keys").close()
    verified = subprocess.run(
        [sys.executable, "-m", "backstay.cli", "verify", str(tmp_path / ".backstay" / "guard.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert verified.stdout.startswith("ok     guard.db: ")


async def get(url: str, headers: dict[str, str]) -> bytes:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return await response.read()


def test_curl_gets_answers_streams_and_faults(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return (
            await sse(request, deltas("all of ", "it")) if body.get("stream") else web.json_response(chat_answer("hi"))
        )

    def curl(*args: str) -> str:
        done = subprocess.run(["curl", "-sS", "--max-time", "20", *args], capture_output=True, text=True, check=True)
        return done.stdout

    with served(tmp_path, answer) as (url, _):
        ask = json.dumps(ASK)
        whole = json.loads(curl(f"{url}/v1/chat/completions", "-d", ask))
        assert whole["choices"][0]["message"]["content"] == "hi"
        streamed = curl("-N", f"{url}/v1/chat/completions", "-d", json.dumps(ASK | {"stream": True}))
        assert streamed.count("data: ") >= 3 and streamed.endswith("data: [DONE]\n\n")
        assert json.loads(curl(f"{url}/v1/chat/completions", "-d", "{"))["error"]["code"] == "bad_request"
        assert json.loads(curl(f"{url}/v1/embeddings", "-d", "{}"))["error"]["code"] == "not_found"
        assert json.loads(curl(f"{url}/health")) == {"status": "ok"}
        figures = curl(f"{url}/metrics")
        assert 'backstay_decisions_total{effect="allow",point="request.input"} 2.0' in figures
        assert "backstay_policy_broken 0.0" in figures and "backstay_policy_loaded{" in figures
