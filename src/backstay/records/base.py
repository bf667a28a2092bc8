"""The common ground of all records: frozen, closed, and hashable through canonical JSON."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from backstay.records.canonical import canonical_json, content_hash


class Record(BaseModel):
    """A frozen record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def payload(self) -> dict[str, Any]:
        """The record as plain JSON data."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """The record as one line of canonical JSON."""
        return canonical_json(self.payload()).decode()

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """Parse one JSON line; raises pydantic.ValidationError when it does not fit."""
        return cls.model_validate_json(line)

    def digest(self) -> str:
        """SHA-256 of the record's canonical JSON."""
        return content_hash(self.payload())
