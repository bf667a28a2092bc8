"""Spans of the gateway: one for each exchange, within the client's trace, with its decisions, told to the upstream."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from guard_gateway import chat_answer, post, running
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backstay.guard.gateway import tracing

pytestmark = pytest.mark.integration
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_exchange_is_a_span_of_the_clients_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    told: list[str] = []

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        told.append(request.headers.get("traceparent", ""))
        tracing.note_decision("nowhere", "allow", "p")  # Outside of a span it does nothing.
        return web.json_response(chat_answer("fine"))

    ask = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    with running(answer) as up:
        asyncio.run(post(f"{up.url}/chat/completions", ask, {"traceparent": PARENT}))
        up.ended()
    (span,) = exporter.get_finished_spans()
    assert span.name == "backstay.exchange" and span.context is not None
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1] and span.attributes is not None
    assert span.attributes["backstay.api"] == "chat"
    assert told[0].split("-")[1:3] == [PARENT.split("-")[1], f"{span.context.span_id:016x}"]
    provider.shutdown()
