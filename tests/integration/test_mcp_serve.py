"""`backstay guard serve` with an MCP server: settings, journal, pins on disk, an operator, and a quick stop."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from backstay.storage.engine import open_database
from backstay.storage.journal import read_entries

pytestmark = pytest.mark.integration
FAR = """
import json, sys, pathlib
words = pathlib.Path(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    tool = {"name": "look", "description": words.read_text(), "inputSchema": {"type": "object"}}
    answers = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}},
        "tools/list": {"tools": [tool]},
        "tools/call": {"content": [{"type": "text", "text": "seen"}]},
    }
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answers[asked["method"]]}), flush=True)
"""
POLICY = """
policy: 1
rules:
  - {id: look, effect: permit, match: {point: model.tool_call, tool: far/look}, when: findings.secrets == 0,
     reason: looking is harmless}
"""
OPEN = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}


@contextlib.contextmanager
def served(home: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    (home / "far.py").write_text(FAR)
    (home / "words").write_text("Looks.")
    (home / "policy.yaml").write_text(POLICY)
    command = [sys.executable, str(home / "far.py"), str(home / "words")]
    config = {
        "guard": 1,
        "port": 0,
        "policies": ["policy.yaml"],
        "mcp": {"far": {"command": command}},
        "mcp_limits": {"catalog_s": 0.0},
    }
    (home / "guard.yaml").write_text(yaml.safe_dump(config))
    arguments = [sys.executable, "-m", "backstay.cli", "guard", "serve", "-c", str(home / "guard.yaml"), "--json"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"], process
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_serve_pin_and_stop(tmp_path: Path) -> None:
    def operator(*args: str) -> Any:
        whole = [
            sys.executable,
            "-m",
            "backstay.cli",
            "guard",
            "mcp",
            *args,
            "--pins",
            str(tmp_path / ".backstay" / "mcp-pins"),
            "--json",
        ]
        return json.loads(subprocess.run(whole, capture_output=True, text=True, check=True).stdout)

    async def use(url: str) -> None:
        headers = {"accept": "application/json, text/event-stream"}
        async with aiohttp.ClientSession() as http:

            async def ask(number: int, method: str, params: Any) -> Any:
                body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                async with http.post(url, json=body, headers=headers) as response:
                    headers.setdefault("mcp-session-id", response.headers.get("mcp-session-id", ""))
                    return await response.json()

            headers.pop("mcp-session-id", None)
            await ask(1, "initialize", OPEN)
            assert (await ask(2, "tools/call", {"name": "look"}))["result"]["content"][0]["text"] == "seen"
            (tmp_path / "words").write_text("Looks, and more.")
            assert (await ask(3, "tools/call", {"name": "look"}))["error"]["code"] == -32010
            (pin,) = await asyncio.to_thread(operator, "ls")
            assert pin["state"] == "changed"
            await asyncio.to_thread(operator, "pin", "far", "look", pin["offered"][:12])
            assert (await ask(4, "tools/call", {"name": "look"}))["result"]["content"][0]["text"] == "seen"
            async with http.get(url, headers=headers | {"accept": "text/event-stream"}) as stream:
                began_s = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert await stream.read() == b""
                await asyncio.to_thread(process.wait, 20)
                assert time.monotonic() - began_s < 15  # An open stream does not keep it for `drain_s`.

    with served(tmp_path) as (address, process):
        asyncio.run(use(f"{address}/mcp/far"))
        assert process.returncode == 0
    engine = open_database(tmp_path / ".backstay" / "guard.db")
    with engine.connect() as connection:
        rows = [json.loads(entry.payload) for entry in read_entries(connection) if entry.kind == "guard.decision"]
    engine.dispose()
    told = [(row["point"], row["tool"], row["effect"], row["rules"]) for row in rows]
    assert told.count(("model.tool_call", "far/look", "allow", ["look"])) == 2
    assert ("request.tools", "far/look", "deny", ["guard:pin"]) in told
    assert ("model.tool_call", "far/look", "deny", ["guard:unknown-tool"]) in told
