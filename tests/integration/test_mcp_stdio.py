"""MCP servers that the gateway starts: a process for each session, with nothing of the gateway's environment."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from guard_mcp import running_mcp
from mcp import Client
from mcp.shared.exceptions import MCPError

pytestmark = pytest.mark.integration
SERVER = """
import os, sys
from mcp.server.mcpserver import Context, MCPServer
server = MCPServer("demo", log_level="CRITICAL")

@server.tool()
def environment() -> str:
    return ",".join(sorted(os.environ))

@server.tool()
async def steps(ctx: Context) -> int:
    await ctx.report_progress(1, 2, "half")
    return os.getpid()

server.run("stdio")
"""
STOPPER = """
import json, sys
answers = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "s", "version": "1"},
    },
    "tools/list": {"tools": [{"name": "stop", "inputSchema": {"type": "object"}}]},
}
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "tools/call":
        sys.exit(3)
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answers[asked["method"]]}), flush=True)
"""
SPAMMER = """
import sys
for line in sys.stdin:
    print("this is no message")
    sys.stdout.flush()
"""


def started(code: str, folder: Path, use: Any, **more: Any) -> Any:
    (folder / "server.py").write_text(code)
    command = [sys.executable, str(folder / "server.py")]

    async def run(url: str) -> Any:
        async with Client(url, cache=None) as client:
            return await use(client)

    with running_mcp("", folder / "pins", command=command, **more) as up:
        result = asyncio.run(run(up.url))
        assert not any(session.far_id for session in up.proxy.sessions.every())
        return result


def test_a_started_server_is_used_like_any_other_and_sees_named_variables_only(tmp_path: Path) -> None:
    told: list[Any] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def use(client: Client) -> Any:
        names = [tool.name for tool in (await client.list_tools()).tools]
        seen = await client.call_tool("environment", {})
        steps = [await client.call_tool("steps", {}, progress_callback=note) for _ in range(2)]
        return names, seen.structured_content["result"].split(","), [one.structured_content["result"] for one in steps]

    names, variables, pids = started(SERVER, tmp_path, use, environment=["FAR_TOKEN"])
    assert names == ["environment", "steps"]
    assert {"FAR_TOKEN", "PATH"} <= set(variables) <= {"FAR_TOKEN", "PATH", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}
    assert told == [(1, 2, "half")] * 2
    assert pids[0] == pids[1] and not Path(f"/proc/{pids[0]}").exists()  # One process, and none is left behind.


def test_a_program_that_ends_is_told_and_its_session_is_over(tmp_path: Path) -> None:
    async def use(client: Client) -> Any:
        told = []
        for name in ("stop", "stop"):
            with pytest.raises(MCPError) as raised:
                await client.call_tool(name, {})
            told.append(raised.value.message)
        return told

    first, second = started(STOPPER, tmp_path, use)
    assert "the program ended" in first and "initialize again" in second


def test_a_program_that_speaks_no_protocol_is_ended(tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        started(SPAMMER, tmp_path, lambda client: client.list_tools())
    assert "not what it should be" in repr(raised.value.exceptions)


def test_a_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    async def run(url: str) -> Any:
        async with Client(url, cache=None) as client:
            return await client.list_tools()

    with running_mcp("", tmp_path, command=["/no/such/program"]) as up, pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(run(up.url))
    assert "cannot be started: No such file" in repr(raised.value.exceptions)
