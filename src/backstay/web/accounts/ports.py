"""What accounts need of the console: reading, writing in one durable transaction, and the time."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from backstay.storage.unit import Unit

T = TypeVar("T")


class Console(Protocol):
    """The part of the console that accounts use."""

    @property
    def clock(self) -> Callable[[], int]:
        """Now, in ms."""

    async def read(self, query: Callable[[Connection], T], /) -> T:
        """Run a query on a connection of its own."""

    async def write(self, unit: Callable[[Unit], T], /) -> T:
        """Run a unit of work; resolves once it is durable."""
