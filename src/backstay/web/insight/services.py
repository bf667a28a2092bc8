"""What the lead's pages share while the console is served: overviews, forecasts, and the refresh of trust."""

import asyncio
from typing import Any, NamedTuple

from fastapi import FastAPI, Request

from backstay.web.console import Console
from backstay.web.insight.forecast import forecast_json, forecast_of
from backstay.web.insight.kept import Kept
from backstay.web.insight.overview import Overview, overview_of
from backstay.web.trust import TrustRefresh

LEAST_AGE_S, AGE_OF_COST = 2.0, 20.0
"""An overview is served again for so many seconds, or so many times what it took: polling costs little at any size."""

FORECAST_AGE_S = 120.0
SOON_S = 1.5
"""What a page waits for a forecast."""


class Question(NamedTuple):
    """What a forecast is asked for; None: the project's own rule."""

    project: str
    certainty: float | None = None
    most_votes: int | None = None


class Services:
    """One of a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.trust = TrustRefresh(console)
        self._overviews = Kept(self._overview, lambda took_s: max(LEAST_AGE_S, AGE_OF_COST * took_s))
        self._forecasts = Kept(self._forecast, lambda _: FORECAST_AGE_S)
        self._one = asyncio.Semaphore(1)  # A forecast takes a processor.

    async def overview(self, project: str) -> Overview:
        """The overview of a project, of a while ago; raises Rejected where there is no such project."""
        return await self._overviews.get(project) or await self._overview(project)

    async def forecast(self, asked: Question) -> dict[str, Any]:
        """A forecast; raises UsageError where there can be none."""
        return await self._forecasts.get(asked) or await self._forecast(asked)

    async def forecast_soon(self, project: str) -> dict[str, Any] | None:
        """The forecast by the project's own rule, or None where it takes more than a moment; it goes on meanwhile."""
        return await self._forecasts.get(Question(project), SOON_S)

    async def _overview(self, project: str) -> Overview:
        return await self._console.read(lambda connection: overview_of(connection, project, self._console.clock()))

    async def _forecast(self, asked: Question) -> dict[str, Any]:
        async with self._one:
            return forecast_json(await self._console.read(lambda connection: forecast_of(connection, *asked)))


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
