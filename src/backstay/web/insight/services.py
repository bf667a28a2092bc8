"""What the lead's pages share while the console is served: overviews, forecasts, and the refresh of trust."""

import asyncio
import time
from typing import Any

from fastapi import FastAPI, Request

from backstay.web.console import Console
from backstay.web.insight.forecast import forecast_json, forecast_of
from backstay.web.insight.overview import Overviews
from backstay.web.trust import TrustRefresh

KEPT_S = 120.0
MOST_KEPT = 200
SOON_S = 1.5
"""What a page waits for a forecast."""

Key = tuple[str, float | None, int | None]


class Services:
    """One of a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.overviews = Overviews(console)
        self.trust = TrustRefresh(console)
        self._forecasts: dict[Key, tuple[float, asyncio.Task[dict[str, Any]]]] = {}
        self._one = asyncio.Semaphore(1)  # A forecast takes a processor.

    async def forecast(self, project: str, certainty: float | None, most_votes: int | None) -> dict[str, Any]:
        """A forecast of at most two minutes ago."""
        return await asyncio.shield(self._task((project, certainty, most_votes)))

    async def forecast_soon(self, project: str) -> dict[str, Any] | None:
        """The forecast by the project's own rule, or None where it takes more than a moment; it goes on meanwhile."""
        task = self._task((project, None, None))
        done, _ = await asyncio.wait([task], timeout=SOON_S)
        return task.result() if done else None

    def _task(self, key: Key) -> "asyncio.Task[dict[str, Any]]":
        until, task = self._forecasts.get(key, (0.0, None))
        if task is None or (task.done() and (time.monotonic() > until or task.cancelled() or task.exception())):
            if len(self._forecasts) >= MOST_KEPT:
                self._forecasts.clear()
            task = asyncio.ensure_future(self._forecast(key))
            self._forecasts[key] = (time.monotonic() + KEPT_S, task)
        return task

    async def _forecast(self, key: Key) -> dict[str, Any]:
        project, certainty, most_votes = key
        async with self._one:
            return forecast_json(
                await self._console.read(lambda connection: forecast_of(connection, project, certainty, most_votes))
            )


def install_insight(app: FastAPI, console: Console) -> Services:
    """Give the application its services."""
    app.state.insight = Services(console)
    found: Services = app.state.insight
    return found


async def services_of(request: Request) -> Services:
    """The services of the application."""
    found = request.app.state.insight
    assert isinstance(found, Services)  # noqa: S101  a mistake in setting up the application, not of a request
    return found
