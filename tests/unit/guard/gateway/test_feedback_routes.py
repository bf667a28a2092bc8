import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guard_gateway import MemoryLog, NobodyHolds, live_policy, scan_for_secrets
from kept_traffic import exchange_id, said
from made_secrets import token_with_check
from starlette.applications import Starlette

from backstay.errors import ResourceError
from backstay.guard.enforcer import Enforcer
from backstay.guard.gateway.app import Front, build_app
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.feedback_routes import MAX_COMMENT, feedback_routes, parsed
from backstay.guard.gateway.harvesting import Harvester
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.service import Gateway
from backstay.guard.gateway.settings import checked
from backstay.guard.gateway.upstream import Upstreams
from backstay.guard.harvest import HarvestSettings, HarvestStore, Keeper, Redactor
from backstay.guard.ledger import Ledger
from backstay.guard.output_plan import PackKinds
from backstay.guard.scans import RememberedScans
from backstay.scan.secrets import secret_pack

SECRET = token_with_check("ghp_", 7)
POLICY = """
policy: 1
rules:
  - {id: no-secrets, effect: forbid, match: {point: feedback}, when: 'findings.secrets > 0', reason: no secrets}
  - id: few
    effect: permit
    match: {point: feedback, action: thumb}
    when: args.score == -1
    obligations: [{limit: {at_most: 2, within_s: 60}}]
    reason: few complaints
"""
NOW_MS = 1_800_000_000_500


class World:
    """The route over a ledger, without a socket."""

    def __init__(self, ledger: Ledger, **settings: Any) -> None:
        given = {"keep": ["thumbed"], "principals": ["*"], "feedback_per_minute": 600} | settings
        config = checked({"guard": 1, "upstreams": {"m": {"base_url": "http://127.0.0.1:1/v1"}}}, "test")
        live, self.log, self.store = live_policy(POLICY), MemoryLog(), HarvestStore(ledger)
        self.keeper = Keeper(self.store, Redactor(), now_ms=lambda: NOW_MS)
        harvest = Harvester(HarvestSettings.model_validate(given), self.keeper)
        gateway = Gateway(
            config,
            Enforcer(live, live.histories, self.log),
            RememberedScans(scan_for_secrets),
            PackKinds(secret_pack(), {}),
            NobodyHolds(),
            Upstreams(config, {}),
            Limits(8),
            self.log,
            harvest=harvest,
        )
        self.front = Front(gateway, None, Metrics())
        self.app: Starlette = build_app(self.front, feedback_routes(self.front, harvest))

    def keep(self, number: int, principal: str = "local") -> str:
        """Keep an exchange."""
        self.store.keep(said(number, "hello", "hello", principal=principal)).result(5)
        return exchange_id(number)

    def post(self, body: Any, method: str = "POST") -> tuple[int, Any]:
        """Status and answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/v1/feedback",
            "headers": [(b"host", b"127.0.0.1")],
            "query_string": b"",
        }
        asyncio.run(self.app(scope, receive, send))
        answer = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(answer) if answer.startswith(b"{") else answer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield opened


@pytest.fixture
def world(ledger: Ledger) -> Iterator[World]:
    made = World(ledger)
    yield made
    made.keeper.close()


def test_a_thumb_is_decided_redacted_and_stored(world: World) -> None:
    exchange = world.keep(1)
    status, told = world.post({"exchange": exchange, "score": 1, "comment": "ask maria.keller@firma-nord.de"})
    assert (status, told["exchange"], told["score"]) == (200, exchange, 1)
    (row,) = world.store.rows(NOW_MS)
    (thumb,) = row.thumbs
    assert (thumb.id, thumb.comment, thumb.principal) == (told["id"], "ask [REDACTED:email]", "local")
    ((request, decision),) = world.log.decisions
    assert (request.point, request.action, request.args, decision.effect) == (
        "feedback",
        "thumb",
        {"score": 1},
        "allow",
    )


def test_whose_exchange_it_is_not_learns_nothing(world: World) -> None:
    foreign = world.keep(1, "somebody")
    status, told = world.post({"exchange": foreign, "score": 1})
    unknown = world.post({"exchange": exchange_id(2), "score": 1})
    assert status == unknown[0] == 404
    assert told["error"]["message"].replace(foreign, "") == unknown[1]["error"]["message"].replace(exchange_id(2), "")
    assert world.log.decisions == []


def test_what_policy_forbids_is_not_stored(world: World) -> None:
    exchange = world.keep(1)
    status, told = world.post({"exchange": exchange, "score": 1, "comment": f"use {SECRET}"})
    assert (status, told["error"]["code"]) == (403, "denied")
    assert told["error"]["backstay"]["rules"] == ["no-secrets"]
    assert world.store.rows(NOW_MS) == []


def test_limits_of_rules_hold(world: World) -> None:
    bodies = [{"exchange": world.keep(number), "score": -1} for number in range(3)]
    assert [world.post(body)[0] for body in bodies] == [200, 200, 429]


def test_thumbs_are_rate_limited(ledger: Ledger) -> None:
    world = World(ledger, feedback_per_minute=20)
    bodies = [{"exchange": world.keep(number), "score": 1} for number in range(4)]
    assert [world.post(body)[0] for body in bodies] == [200, 200, 429, 429]  # A tenth of a minute's at once.
    world.keeper.close()


def test_a_decision_that_cannot_be_written_stores_nothing(world: World) -> None:
    exchange = world.keep(1)
    world.log.broken = ResourceError("the disk is full")
    status, told = world.post({"exchange": exchange, "score": 1})
    assert (status, told["error"]["code"]) == (503, "guard_unavailable")
    assert world.store.rows(NOW_MS) == []


def test_a_gateway_that_is_being_stopped_takes_none(world: World) -> None:
    exchange = world.keep(1)
    world.front.draining = True
    assert world.post({"exchange": exchange, "score": 1})[0] == 503


def test_without_thumbs_there_is_no_route(ledger: Ledger) -> None:
    world = World(ledger, keep=["denied"])
    assert world.post({"exchange": world.keep(1), "score": 1})[0] == 404
    assert feedback_routes(world.front, None) == []
    world.keeper.close()


@pytest.mark.parametrize(
    "body",
    [
        b"nothing",
        b"[]",
        {"exchange": "x", "score": 2},
        {"exchange": "x", "score": True},
        {"exchange": "x", "score": 1.0},
        {"exchange": "x"},
        {"exchange": "", "score": 1},
        {"exchange": "x" * 37, "score": 1},
        {"exchange": "\u00e9", "score": 1},
        {"exchange": 5, "score": 1},
        {"exchange": "x", "score": 1, "comment": 5},
        {"exchange": "x", "score": 1, "comment": "x" * (MAX_COMMENT + 1)},
        {"exchange": "x", "score": 1, "principal": "alice"},
    ],
)
def test_other_bodies_are_refused(body: Any) -> None:
    with pytest.raises(ApiFault) as fault:
        parsed(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert fault.value.status == 400


def test_a_body_as_it_should_be() -> None:
    assert parsed(b'{"exchange": "x", "score": -1}') == ("x", -1, "")
