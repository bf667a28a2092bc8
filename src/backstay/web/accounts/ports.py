"""What accounts need of the console: reading, writing in one durable transaction, and the time."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Unit(Protocol):
    """One unit of work, as the console hands it over."""

    @property
    def connection(self) -> Connection:
        """The transaction's connection."""

    @property
    def now_ms(self) -> int:
        """The time of the unit."""

    def note(self, kind: str, payload: Mapping[str, Any], /) -> None:
        """Append a journal row of the same transaction."""


class Console(Protocol):
    """The part of the console that accounts use."""

    @property
    def clock(self) -> Callable[[], int]:
        """Now, in ms."""

    async def read(self, query: Callable[[Connection], T], /) -> T:
        """Run a query on a connection of its own."""

    async def write(self, unit: Callable[[Any], T], /) -> T:
        """Run a unit of work; resolves once it is durable."""
