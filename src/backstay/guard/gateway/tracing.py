"""Spans for OpenTelemetry where its API is installed; without it, nothing."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import cache
from typing import Any

SCOPE = "backstay.guard"


@cache
def _api() -> tuple[Any, Any] | None:
    try:
        from opentelemetry import propagate, trace  # noqa: PLC0415  an extra
    except ImportError:
        return None
    return trace, propagate


@contextmanager
def exchange_span(headers: Mapping[str, str], api: str, exchange: str) -> Iterator[Any]:
    """A span for one exchange, within the client's trace where it sent one; None where nothing is traced."""
    found = _api()
    if found is None:
        yield None
        return
    trace, propagate = found
    parent = propagate.extract(dict(headers))
    attributes = {"backstay.exchange": exchange, "backstay.api": api}
    with trace.get_tracer(SCOPE).start_as_current_span(
        "backstay.exchange", context=parent, attributes=attributes
    ) as span:
        yield span


def note_decision(point: str, effect: str, policy: str) -> None:
    """A decision as an event of the current span."""
    found = _api()
    if found is not None:
        span = found[0].get_current_span()
        if span.is_recording():
            facts = {"backstay.point": point, "backstay.effect": effect, "backstay.policy": policy}
            span.add_event("backstay.decision", facts)


def add_trace(headers: MutableMapping[str, str]) -> None:
    """The current span's place for the upstream."""
    found = _api()
    if found is not None:
        found[1].inject(headers)
