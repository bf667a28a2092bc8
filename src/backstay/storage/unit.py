"""A unit of work: what belongs together in one transaction, at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from backstay.storage.batch import Batch


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit writes with: the connection, records and their journal rows, and the time, in ms since 1970."""

    connection: Connection
    batch: Batch
    now_ms: int

    def note(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Journal what happened, in the same transaction."""
        self.batch.add_event(kind, dict(payload))
