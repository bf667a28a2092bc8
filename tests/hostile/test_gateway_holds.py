"""Held answers that are resumed by clients who try to get more out of them than was approved."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from guard_gateway import Live, MemoryLog, live_policy, scan_for_secrets

from backstay.guard.approvals import Approvals, Directory, Person, new_token
from backstay.guard.enforcer import Enforcer, Exchange
from backstay.guard.gateway.answers import Choice, ToolCall
from backstay.guard.gateway.app import Front, build_app
from backstay.guard.gateway.approval_routes import approval_routes
from backstay.guard.gateway.chat import read_chat
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.holds import ApprovalHolds
from backstay.guard.gateway.incoming import DecidedTexts, Held, check_request
from backstay.guard.gateway.kept import KeptAnswers
from backstay.guard.gateway.keys import LOCAL, KeyRing, add_key
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.settings import LimitSettings, checked
from backstay.guard.gateway.settling import settle_whole
from backstay.guard.ledger import Ledger
from backstay.guard.output_plan import PackKinds
from backstay.guard.scans import RememberedScans
from backstay.scan.secrets import secret_pack

pytestmark = pytest.mark.hostile
POLICY = """
policy: 1
counters: {paid: {sum: args.amount, tool: pay, within_s: 86400}}
rules:
  - id: ask
    effect: hold
    match: {point: model.tool_call, tool: [ask, pay]}
    when: 'size(args.to) > 3'
    obligations: [{require_approval: {k: 1, of: [lead]}}]
    reason: far away
  - {id: free, effect: permit, match: {point: model.tool_call, tool: [ask, pay]}, reason: pays}
  - {id: most, effect: forbid, match: {point: model.tool_call, tool: pay},
     when: 'counter.paid + double(args.amount) > 100.0', reason: a hundred at most}
"""
SETTINGS = checked({"guard": 1, "upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}}, "test")
TOKEN, DIGEST = new_token()


class World:
    """A gateway's parts without HTTP, and a lead who approves everything."""

    def __init__(self, home: Path) -> None:
        self.ledger = Ledger.open(home / "g.db", keys_dir=home / "keys")
        people = Directory([Person(id="ann", roles=("lead",), token_sha256=DIGEST)])
        self.approvals = Approvals(self.ledger, lambda: people)
        self.holds = ApprovalHolds(self.approvals, KeptAnswers(self.ledger), "w")
        self.live: Live = live_policy(POLICY)
        self.lead = people.authenticate("ann", TOKEN)
        self.exchanges = 0

    def context(self, policy: Live | None = None) -> Context:
        live, pack = policy or self.live, secret_pack()
        self.exchanges += 1
        request = read_chat({"model": "m", "messages": [{"role": "user", "content": "go"}]}, LimitSettings())
        exchange = Exchange(f"x{self.exchanges}", "bot", "bot")
        kinds = PackKinds(pack, {rule.kind: "secrets" for rule in pack.rules})
        enforcer = Enforcer(live, self.live.histories, MemoryLog())
        scans = RememberedScans(scan_for_secrets)
        return Context(exchange, request, SETTINGS, enforcer, scans, kinds, self.holds, Limits(9), LOCAL, "digest")

    async def held(self, *calls: tuple[str, Any], text: str = "") -> str:
        """Hold an answer with these calls and approve it; the approval's id."""
        texts = {"content": text} if text else {}
        rows = {i: ToolCall(f"c{i}", "function", name, json.dumps(args)) for i, (name, args) in enumerate(calls)}
        settled = await settle_whole(self.context(), [Choice(0, texts, rows, "tool_calls")])
        assert settled.effect == "hold"
        for name in settled.approvals:
            self.approvals.decide(name, self.lead, "approve", self.approvals.get(name).digest, "it is fine", name)
        return settled.approvals[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ledger.close()


def test_calls_that_needed_no_approval_are_counted_when_they_go_out(world: World) -> None:
    async def both() -> None:
        name = await world.held(("pay", {"amount": 60, "to": "me"}), ("ask", {"to": "somebody"}))
        assert (await world.holds.resume(world.context(), name, 0)).state == "released"

    asyncio.run(both())
    assert world.live.histories.of("bot").values()["paid"] == 60


def test_calls_that_needed_no_approval_are_under_the_policy_of_the_moment(world: World) -> None:
    async def later() -> None:
        name = await world.held(("pay", {"amount": 60, "to": "me"}), ("ask", {"to": "somebody"}))
        stricter = live_policy(POLICY.replace("double(args.amount) > 100.0", "double(args.amount) > 50.0"))
        await world.holds.resume(world.context(stricter), name, 0)

    with pytest.raises(ApiFault) as caught:
        asyncio.run(later())
    assert caught.value.status == 403


def test_texts_beside_an_approved_call_are_under_the_policy_of_the_moment(world: World) -> None:
    async def later() -> None:
        name = await world.held(("ask", {"to": "somebody"}), text="the plan")
        rule = "{id: plan, effect: forbid, match: {point: model.output}, when: text.contains('plan'), reason: stay}"
        await world.holds.resume(world.context(live_policy(f"{POLICY}  - {rule}\n")), name, 0)

    with pytest.raises(ApiFault) as caught:
        asyncio.run(later())
    assert caught.value.status == 403


def test_two_approved_answers_at_once_do_not_both_fit_into_one_budget(world: World) -> None:
    async def race() -> list[Any]:
        names = [await world.held(("pay", {"amount": 60, "to": "somebody"})) for _ in range(2)]
        ways = [world.holds.resume(world.context(), name, 0) for name in names]
        return await asyncio.gather(*ways, return_exceptions=True)

    results = asyncio.run(race())
    assert [getattr(one, "state", "refused") for one in results].count("released") == 1
    assert world.live.histories.of("bot").values()["paid"] == 60


def test_one_approval_resumed_many_times_at_once_is_released_once(world: World) -> None:
    async def race() -> list[Any]:
        name = await world.held(("ask", {"to": "somebody"}))
        ways = [world.holds.resume(world.context(), name, 0) for _ in range(5)]
        return await asyncio.gather(*ways, return_exceptions=True)

    assert [getattr(one, "state", "refused") for one in asyncio.run(race())].count("released") == 1


def test_a_key_without_the_scope_sees_no_approvals_and_a_broken_ledger_is_told(world: World, tmp_path: Path) -> None:
    tokens = {name: add_key(tmp_path / "k.yaml", name, endpoints=(name,)) for name in ("chat", "approvals")}
    front = Front(cast("Any", None), KeyRing(tmp_path / "k.yaml"), Metrics())
    app = build_app(front, approval_routes(front, world.holds))

    async def status(path: str, token: str, **headers: str) -> int:
        sent: list[Any] = []
        given = {"authorization": f"Bearer {token}", **headers}
        rows = [(name.encode(), value.encode()) for name, value in given.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": rows, "root_path": ""}
        await app(scope, AsyncMock(), AsyncMock(side_effect=sent.append))
        return int(sent[0]["status"])

    assert asyncio.run(status("/v1/approvals/x", tokens["chat"])) == 403
    assert asyncio.run(status("/v1/approvals/x", tokens["approvals"])) == 404
    assert asyncio.run(status("/v1/approver/approvals", tokens["chat"], **{"x-backstay-approver": "ann"})) == 401
    assert asyncio.run(status("/v1/approvals/x", TOKEN)) == 401
    assert asyncio.run(status("/v1/approver/approvals", TOKEN, **{"x-backstay-approver": "ann"})) == 200
    world.ledger.close()
    assert asyncio.run(status("/v1/approver/approvals", TOKEN, **{"x-backstay-approver": "ann"})) in (200, 503)


def test_a_request_is_checked_again_after_its_tools_were_taken_out(world: World) -> None:
    policy = live_policy(
        """
policy: 1
rules:
  - {id: shell, effect: forbid, match: {point: request.tools, tool: shell}, reason: no shell}
  - {id: ask, effect: hold, match: {point: request.input}, reason: wait,
     obligations: [{require_approval: {k: 1, of: [lead]}}]}
"""
    )
    context = world.context(policy)
    context.request.tools, context.request.tool_texts = {"shell": {}}, [("shell", "runs")]
    context.request.body["tools"] = [{"type": "function", "function": {"name": "shell"}}]
    decided = DecidedTexts()
    with pytest.raises(Held):
        check_request(context, decided)
    check_request(context, decided, approved=True)
    assert "tools" not in context.request.body
