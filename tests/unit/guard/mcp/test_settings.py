"""Settings of MCP servers that could not work, or would open a hole, are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from backstay.guard.mcp.settings import McpServerSettings


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": "https://a/mcp", "command": ["x"]},
        {"url": "ftp://a/mcp"},
        {"url": "https://user:word@a/mcp"},
        {"url": "https://a/mcp", "environment": ["HOME"]},
        {"command": ["x"], "headers": {"authorization": "TOKEN"}},
        {"url": "https://a/mcp", "headers": {"Mcp-Session-Id": "X"}},
        {"url": "https://a/mcp", "headers": {"host": "X"}},
        {"url": "https://a/mcp", "headers": {"a\r\nb": "X"}},
        {"url": "https://a/mcp", "tools": ["l\u043eok"]},
        {"url": "https://a/mcp", "client_requests": ["tasks/list"]},
        {"url": "https://a/mcp", "pins": True},
    ],
)
def test_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        McpServerSettings.model_validate(given)


def test_the_defaults_are_the_careful_ones() -> None:
    settings = McpServerSettings.model_validate({"url": "https://a/mcp?x=1", "headers": {"Authorization": "TOKEN"}})
    assert settings.pin and settings.client_requests == () and settings.tool_names == "server/tool"
    assert settings.headers == {"authorization": "TOKEN"}
