"""Pins for tools that clients offer to models: the schema behind a name does not change silently for a principal."""

from typing import Any

from backstay.guard.mcp.pins import Pins

WHY = {
    "changed": "it changed after this principal first offered it; an operator can look at it and pin it again",
    "new": "an operator has not pinned it",
    "full": "this principal has offered more tools than can be pinned",
}


def place_of(principal: str) -> str:
    """Where a principal's tools are pinned; no MCP server can have this name."""
    return f"chat@{principal}"


class ChatPins:
    """The tools of requests to models, pinned by principal; `pin_tools: true` in guard.yaml."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    def fault(self, principal: str, name: str, words: str, parameters: Any) -> str:
        """Why a tool is not offered to the model, "" where it is as it was. `words` is every text said about it."""
        schema = parameters if isinstance(parameters, dict) else {}
        definition = {"name": name, "description": words, "inputSchema": schema}
        verdict = self._pins.check(place_of(principal), definition, first=True)
        return "" if verdict == "pinned" else WHY[verdict]
