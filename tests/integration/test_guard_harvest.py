"""From a client's request to a rating task in a project, through the running gateway; all traffic is made up."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner
from guard_gateway import LoopThread, call_message, chat_answer, deltas, post, sse, start_upstream
from made_secrets import token_with_check

from backstay.cli.main import cli
from backstay.guard.approvals import new_token
from backstay.guard.gateway.keys import add_key
from backstay.policy import PolicyBundle, parse_policy, run_cases
from backstay.records.production import REFERENCE
from backstay.storage import Store
from backstay.storage.engine import open_database
from backstay.storage.journal import read_entries
from backstay.storage.seal import Sealer
from backstay.storage.verify import verify_journal

pytestmark = pytest.mark.integration
SECRET = token_with_check("ghp_", 7)
MAIL, CARD = "maria.keller@firma-nord.de", "4111111111111111"
PLANTED = (SECRET, MAIL, CARD)
POLICY = """
policy: 1
rules:
  - id: no-kaboom
    effect: forbid
    match: {point: model.output}
    when: text.contains("kaboom")
    reason: kaboom is denied
  - id: no-wiping
    effect: forbid
    match: {point: request.input}
    when: text.contains("wipe")
    reason: wiping is denied
  - id: ask
    effect: hold
    match: {point: model.tool_call, tool: transfer}
    obligations: [{require_approval: {k: 1, of: [lead], expires_s: 600}}]
    reason: transfers are for a lead
  - id: calm-comments
    effect: forbid
    match: {point: feedback}
    when: text.contains("grrr")
    reason: comments are calm
"""
ANSWERS = {
    "How is bread baked?": iter([f"With yeast. Ask {MAIL}, card {CARD}, token {SECRET}.", "With sourdough and time."]),
    "Tell me of kaboom": iter(["This is how kaboom works."]),
    "hello": iter(["hello to you"] * 9),
}


async def upstream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    asked = body["messages"][-1]["content"]
    if asked in ("pay", "transfer it", "transfer all"):
        tool, note = asked.split()[0], "for bread" if asked == "pay" else asked
        message = call_message((tool, {"card": int(CARD), "to": MAIL, "note": note}))
        row = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return web.json_response(chat_answer() | {"choices": [row]})
    text = next(next(answers) for start, answers in ANSWERS.items() if asked.startswith(start))
    return await sse(request, deltas(*text)) if body.get("stream") else web.json_response(chat_answer(text))


@contextlib.contextmanager
def served(home: Path, settings: dict[str, Any], **harvest: Any) -> Iterator[str]:
    with LoopThread() as loop:
        port = loop.call(start_upstream(loop, upstream, []))
        (home / "policy.yaml").write_text(POLICY)
        config = {
            "guard": 1,
            "port": 0,
            "upstreams": {"main": {"base_url": f"http://127.0.0.1:{port}/v1"}},
            "policies": ["policy.yaml"],
            "harvest": harvest,
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
            yield json.loads(process.stdout.readline())["address"]
        finally:
            timer.cancel()
            process.terminate()
            process.wait(20)
            process.stdout.close()  # type: ignore[union-attr]  # it was piped


class Client:
    def __init__(self, url: str, token: str) -> None:
        self._url, self._headers = url, {"authorization": f"Bearer {token}"}

    def ask(self, text: str, **more: Any) -> tuple[int, Any, str]:
        """Status, answer, and the id of the exchange as the client is told it."""
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
        status, raw, headers = asyncio.run(post(f"{self._url}/v1/chat/completions", body, self._headers))
        if more.get("stream"):
            return status, raw, headers["x-backstay-exchange"]
        told = json.loads(raw)
        facts = told["error"]["backstay"] if "error" in told else told["backstay"]
        assert headers.get("x-backstay-exchange", facts["exchange"]) == facts["exchange"]
        return status, told, facts["exchange"]

    def thumb(self, exchange: str, score: Any, comment: str = "") -> tuple[int, Any]:
        body = {"exchange": exchange, "score": score, "comment": comment}
        status, raw, _ = asyncio.run(post(f"{self._url}/v1/feedback", body, self._headers))
        return status, json.loads(raw)


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.output)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_a_thumb_to_a_task_and_out_again(tmp_path: Path) -> None:
    keep = ["denied", "held", "approved", "thumbed"]
    bread = f"How is bread baked? My mail is {MAIL}, my token {SECRET}"
    tokens = [add_key(tmp_path / "keys.yaml", name) for name in ("alice", "bob", "carol")]
    keys = {"keys": "keys.yaml"}
    with served(tmp_path, keys, keep=keep, principals=["alice", "bob"], feedback_per_minute=600) as url:
        alice, bob, carol = (Client(url, token) for token in tokens)
        bad, good = alice.ask(bread)[2], alice.ask(bread, stream=True)[2]
        assert alice.thumb(bad, -1, f"wrong, tell {MAIL}")[0] == 200
        status, first = alice.thumb(good, 1)
        assert (status, first["score"]) == (200, 1)
        assert alice.thumb(good, 1)[1]["id"] == first["id"]  # Told twice, counted once.
        assert alice.thumb(good, 0)[0] == alice.thumb(good, True)[0] == 400
        assert alice.thumb(good, -1, "grrr")[1]["error"]["code"] == "denied"
        assert bob.thumb(good, -1)[0] == alice.thumb("0" * 36, 1)[0] == 404
        status, answer, denied = bob.ask("Tell me of kaboom")
        assert status == 200 and "kaboom works" not in str(answer)
        status, _, wiped = bob.ask(f"wipe the disk of {MAIL}")
        assert status == 403
        assert bob.thumb(wiped, -1, "that was a joke")[0] == 200
        paid = bob.ask("pay")[2]
        unthumbed, foreign = alice.ask("hello")[2], carol.ask("hello")[2]
        assert carol.thumb(foreign, 1)[0] == 404  # Carol did not opt in.

    stored = b"".join(path.read_bytes() for path in (tmp_path / ".backstay").glob("guard.db*"))
    for text in (*PLANTED, "sourdough", "kaboom works", "a joke"):
        assert text.encode() not in stored
    check_harvest(tmp_path, bad, good, denied, wiped, paid, left_out=(unthumbed, foreign))
    check_import(tmp_path, bad, good)
    check_forgetting(tmp_path, denied, wiped)


def test_what_people_said_to_what_was_held(tmp_path: Path) -> None:
    token, digest = new_token()
    people = {"approvers": [{"id": "ann", "roles": ["lead"], "token_sha256": digest}]}
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(people))
    (tmp_path / "people.yaml").chmod(0o600)
    approver = {"authorization": f"Bearer {token}", "x-backstay-approver": "ann"}
    exchanges = {}
    holds = {"holds": {"approvers": "people.yaml"}}
    with served(tmp_path, holds, keep=["denied", "held", "approved"], principals=["*"]) as url:
        for text, vote, status in (("transfer it", "approve", 200), ("transfer all", "deny", 403)):
            body = {"model": "m", "messages": [{"role": "user", "content": text}]}
            facts = json.loads(asyncio.run(post(f"{url}/v1/chat/completions", body))[1])["backstay"]
            exchanges[text] = facts["exchange"]
            (approval,) = facts["approvals"]
            decide(url, approval, vote, approver)
            again = asyncio.run(post(f"{url}/v1/chat/completions", body, {"x-backstay-approval": approval}))
            assert again[0] == status
            if status == 200:
                exchanges["released"] = json.loads(again[1])["backstay"]["exchange"]
    run("guard", "harvest", "-c", str(tmp_path / "guard.yaml"), "-o", str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    cases = {case["source"]["exchange"]: case for case in lines(tmp_path / "out" / "redteam.jsonl")}
    assert cases[exchanges["transfer it"]]["verdict"] == "approved" and cases[exchanges["transfer it"]]["disputed"]
    assert cases[exchanges["transfer all"]]["verdict"] == "denied" and not cases[exchanges["transfer all"]]["disputed"]
    assert {case["expected"] for case in cases.values()} == {"held"}
    # The release was kept, too, as `approved`; near-duplicates of one principal are harvested once.
    assert len(manifest["taken"]) + manifest["left_out"]["repeated"] == 3
    assert exchanges["released"] not in cases


def decide(url: str, approval: str, vote: str, approver: dict[str, str]) -> None:
    found = json.loads(asyncio.run(get(f"{url}/v1/approvals/{approval}")))
    decision = {"vote": vote, "digest": found["digest"], "reason": "as it should be", "key": approval}
    status, raw, _ = asyncio.run(post(f"{url}/v1/approver/approvals/{approval}/decide", decision, approver))
    assert status == 200, raw


async def get(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()


def check_harvest(
    home: Path, bad: str, good: str, denied: str, wiped: str, paid: str, left_out: tuple[str, ...]
) -> None:
    report = run("guard", "harvest", "-c", str(home / "guard.yaml"), "-o", str(home / "out"))
    assert report["exchanges"] == 5 and report["principals"] == 2
    written = b"".join(path.read_bytes() for path in (home / "out").iterdir())
    for text in (*PLANTED, *left_out, "alice", "[guard:"):
        assert text.encode() not in written
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home / "out").iterdir()} == {0o600}

    tasks = {task["why"]: task for task in lines(home / "out" / "tasks.jsonl")}
    assert [one["source"]["exchange"] for one in tasks["answers"]["responses"]] == [bad, good]
    assert "[REDACTED:" in tasks["answers"]["messages"][0]["content"]
    (vote,) = tasks["answers"]["votes"]
    assert vote["winner"] == 1 and vote["rater"].startswith("thumb-") and "[REDACTED:" in vote["comment"]
    answer, reference = tasks["denied_answer"]["responses"]
    assert (answer["text"], answer["source"]["exchange"]) == ("This is how kaboom works.", denied)
    assert reference["source"] is None and tasks["denied_answer"]["votes"] == []

    cases = {(case["point"], case["source"]["exchange"]): case for case in lines(home / "out" / "redteam.jsonl")}
    assert cases.keys() == {
        ("model.output", denied),
        ("request.input", wiped),
        ("model.tool_call", paid),
    }
    called = cases["model.tool_call", paid]
    assert called["args"]["note"] == "for bread" and not called["replayable"]
    assert all(value.startswith("[REDACTED:") for name, value in called["args"].items() if name != "note")
    assert cases["request.input", wiped]["disputed"] and cases["request.input", wiped]["rule"] == "no-wiping"
    assert {case["expected"] for case in cases.values()} == {"denied"}
    check_policy_tests(home)


def check_policy_tests(home: Path) -> None:
    """The cases stand beside the rules they came from, and pass."""
    found = yaml.safe_load((home / "out" / "policy_tests.yaml").read_text())["tests"]
    assert "no-kaboom" in found and "no-wiping" not in found  # It is disputed.
    policy = yaml.safe_load(POLICY)
    policy["rules"][0]["tests"] = [*found["no-kaboom"], *found["default"]]
    text = yaml.safe_dump(policy)
    results = run_cases(PolicyBundle.compile([("p", parse_policy(text, "p"))]))
    assert len(results) >= 4 and all(result.passed for result in results), results


def check_import(home: Path, bad: str, good: str) -> None:
    project = home / "project"
    project.mkdir()
    (project / "backstay.yaml").write_text("name: loop\n")
    arguments = [
        "import",
        "production",
        str(home / "out" / "tasks.jsonl"),
        "--project",
        str(project),
        "--dataset",
        "loop",
    ]
    report = run(*arguments)
    assert (report["tasks"], report["judgments"], report["raters"]) == (2, 1, 1)
    again = run(*arguments)
    assert (again["tasks"], again["judgments"], again["known"]) == (0, 0, 1)
    with Store(project) as store:
        tasks = store.repository.tasks("loop")
        responses = {one.id: one for one in store.repository.responses("loop")}
        (judgment,) = store.repository.judgments("loop")
        assert all(prompt.source == "production" for prompt in store.repository.prompts("loop"))
        assert store.verify().ok
    assert {task.gold for task in tasks} == {None}
    assert {task.dimension for task in tasks} == {"harmless", "overall"}
    judged = next(task for task in tasks if task.id == judgment.task_id)
    shown = [responses[name].sampling["exchange"] for name in judged.response_ids]
    assert judgment.choice.ranking[0] == (shown.index(good),) and set(shown) == {bad, good}
    assert sum(one.policy == REFERENCE for one in responses.values()) == 1


def check_forgetting(home: Path, denied: str, wiped: str) -> None:
    config = ("-c", str(home / "guard.yaml"))
    assert run("guard", "forget", *config, denied) == {"forgotten": 1}
    assert run("guard", "forget", *config, denied, code=1) == {"forgotten": 0}
    report = run("guard", "harvest", *config, "-o", str(home / "later"))
    assert report["exchanges"] == 4
    assert denied.encode() not in b"".join(path.read_bytes() for path in (home / "later").iterdir())
    assert run("guard", "forget", *config, "--principal", "bob") == {"forgotten": 2}
    engine = open_database(home / ".backstay" / "guard.db")
    with engine.connect() as connection:
        rows = [json.loads(entry.payload) for entry in read_entries(connection, "guard.harvest")]
    assert verify_journal(
        engine, Sealer(home / ".backstay" / "keys", home / ".backstay" / "guard.seals.jsonl").read()
    ).ok
    engine.dispose()
    assert {row["exchange"] for row in rows if row["event"] == "forgotten"} >= {denied, wiped}
    allowed = {"id", "at", "event", "exchange", "exchanges", "why", "content_digest", "score", "files"}
    assert all(row.keys() <= allowed for row in rows)
