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
Key = tuple[str, float | None, int | None]


class Services:
    """One of a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.overviews = Overviews(console)
        self.trust = TrustRefresh(console)
        self._forecasts: dict[Key, tuple[float, dict[str, Any]]] = {}
        self._forecasting = asyncio.Lock()

    async def forecast(self, project: str, certainty: float | None, most_votes: int | None) -> dict[str, Any]:
        """A forecast of at most two minutes ago; one is computed at a time, since it takes a processor."""
        key = (project, certainty, most_votes)
        async with self._forecasting:
            until, kept = self._forecasts.get(key, (0.0, None))
            if kept is not None and time.monotonic() < until:
                return kept
            found = forecast_json(
                await self._console.read(lambda connection: forecast_of(connection, project, certainty, most_votes))
            )
            if len(self._forecasts) >= MOST_KEPT:
                self._forecasts.clear()
            self._forecasts[key] = (time.monotonic() + KEPT_S, found)
            return found


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
