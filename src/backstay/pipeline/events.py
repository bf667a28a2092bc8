"""What an execution tells whoever watches: one type, so that a terminal, a log and a program see the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

EventKind = Literal["planned", "reused", "started", "resumed", "said", "metrics", "finished", "failed"]


@dataclass(frozen=True)
class Event:
    """Something happened in a stage; `data` holds a metrics row, a summary, or the stages planned."""

    kind: EventKind
    stage: str = ""
    run: str = ""
    text: str = ""
    seconds: float | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """As JSON data, without what is empty; the kind is called `event`."""
        present = {key: value for key, value in vars(self).items() if value not in ("", None, {}) and key != "kind"}
        return {"event": self.kind, **present}


Observer = Callable[[Event], None]
