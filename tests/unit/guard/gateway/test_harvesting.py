import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from guard_gateway import Running, call_message, chat_answer, deltas, post, running, sse

from backstay.guard.gateway.harvesting import Harvester
from backstay.guard.harvest import HarvestSettings, HarvestStore, Keeper, KeptExchange, Redactor
from backstay.guard.ledger import Ledger

pytestmark = pytest.mark.integration
POLICY = """
policy: 1
rules:
  - {id: no-b, effect: forbid, match: {point: model.output}, when: 'text.contains("bad")', reason: denied}
  - {id: no-i, effect: forbid, match: {point: request.input}, when: 'text.contains("worse")', reason: denied}
  - id: ask
    effect: hold
    match: {point: model.tool_call, tool: pay}
    obligations: [{require_approval: {k: 1, of: [lead], expires_s: 60}}]
    reason: ask first
"""


async def upstream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    text = body["messages"][-1]["content"]
    if text == "broken":
        return web.json_response({"choices": "none"})
    if text == "pay":
        row = {"index": 0, "message": call_message(("pay", {"amount": 3})), "finish_reason": "tool_calls"}
        return web.json_response(chat_answer() | {"choices": [row]})
    return await sse(request, deltas(*text)) if body.get("stream") else web.json_response(chat_answer(text))


class Waiting(Redactor):
    """Waits until it is told to go on."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def exchange(self, kept: KeptExchange) -> KeptExchange:
        self.go.wait(20)
        return kept


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HarvestStore]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield HarvestStore(opened)


def harvester(store: HarvestStore, redactor: Redactor | None = None, **settings: Any) -> Harvester:
    given = HarvestSettings.model_validate({"keep": ["denied", "held"], "principals": ["*"]} | settings)
    return Harvester(given, Keeper(store, redactor or Redactor()))


def ask(up: Running, text: str, **more: Any) -> tuple[int, bytes]:
    messages = [{"role": "system", "content": "the rules of the house"}, {"role": "user", "content": text}]
    status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", {"model": "m", "messages": messages, **more}))
    up.ended()
    return status, raw


def kept(store: HarvestStore, *texts: str, stream: bool = False, **settings: Any) -> list[KeptExchange]:
    """What is kept after these were asked."""
    with running(upstream, POLICY) as up:
        up.gateway.harvest = harvest = harvester(store, **settings)
        for text in texts:
            ask(up, text, stream=stream)
    harvest.close()
    return [row.kept for row in store.rows(1)]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_kept_and_why(store: HarvestStore, stream: bool) -> None:
    found = kept(store, "fine", "bad", "worse", "broken", stream=stream)
    assert [(one.turns[-1].text, one.why, one.effect) for one in found] == [
        ("bad", ("denied",), "deny"),
        ("worse", ("denied",), "deny"),
    ]
    assert [one.text for one in found[0].answers] == ["bad"] and found[1].answers == ()
    assert [one.rules for one in found[0].decisions] == [(), ("no-b",)]
    assert all(one.principal == "local" and one.model == "m" for one in found)


def test_what_is_held_is_kept_with_the_call(store: HarvestStore) -> None:
    (found,) = kept(store, "pay")
    call = found.decisions[-1]
    assert (found.why, found.effect, call.point, call.tool) == (("held",), "hold", "model.tool_call", "pay")
    assert call.args == {"amount": 3} and call.provenance == {"amount": ("model",)}


@pytest.mark.parametrize(
    "settings", [{"principals": ["somebody-else"]}, {"keep": ["approved"]}, {"keep": [], "sample": 1e-12}]
)
def test_what_was_not_opted_in_is_not_kept(store: HarvestStore, settings: dict[str, Any]) -> None:
    assert kept(store, "bad", "pay", **settings) == []


def test_samples_and_the_systems_prompt_are_kept_where_asked_for(store: HarvestStore) -> None:
    (found,) = kept(store, "fine", sample=1.0)
    assert (found.why, [turn.role for turn in found.turns]) == (("sampled",), ["user"])
    (first, second) = kept(store, "fine", sample=1.0, system=True)
    assert [turn.role for turn in second.turns] == ["system", "user"] and first == found


def test_without_a_thumb_nothing_is_read(store: HarvestStore) -> None:
    assert kept(store, "fine", "bad", keep=["thumbed"]) == []


def test_the_client_does_not_wait_and_is_told_the_exchange(store: HarvestStore) -> None:
    redactor = Waiting()
    with running(upstream, POLICY) as up:
        up.gateway.harvest = harvest = harvester(store, redactor, sample=1.0)
        status, raw = ask(up, "fine")  # Answered although nothing can be kept yet.
        exchange = json.loads(raw)["backstay"]["exchange"]
        assert status == 200
        while harvest.keeper.under_way(exchange) is None:  # It is handed over after the last byte.
            assert store.owner(exchange, 1) is None
        redactor.go.set()
    harvest.close()
    assert [row.kept.exchange for row in store.rows(1)] == [exchange]


def test_a_fault_of_the_harvest_changes_no_answer(store: HarvestStore, caplog: pytest.LogCaptureFixture) -> None:
    with running(upstream, POLICY) as up:
        up.gateway.harvest = harvest = harvester(store)
        harvest.keeper.offer = lambda _: 1 / 0  # type: ignore[assignment,method-assign]  # a fault is made
        assert ask(up, "bad")[0] == 200 and ask(up, "worse")[0] == 403
        assert b"[guard: the answer was denied" in ask(up, "bad")[1]
    harvest.close()
    assert [record.message for record in caplog.records if "ZeroDivisionError" in record.message]
    assert store.rows(1) == []
