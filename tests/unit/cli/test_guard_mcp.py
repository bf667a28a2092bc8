"""An operator sees what a tool says now, and pins exactly that."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from backstay.cli.main import cli
from backstay.guard.mcp.pins import Pins, digest_of

TOOL: dict[str, Any] = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}
NOW = TOOL | {"description": "Looks.\x1b[2J \u202eand more"}


def run(folder: Path, *args: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["guard", "mcp", *args, "--pins", str(folder)])
    assert result.exit_code == code, result.output
    return result.output


def test_a_changed_tool_is_listed_shown_and_pinned(tmp_path: Path) -> None:
    pins = Pins(tmp_path)
    pins.check("far", TOOL, first=True)
    pins.check("far", NOW, first=True)
    (row,) = json.loads(run(tmp_path, "ls", "--json"))
    assert (row["state"], row["digest"], row["offered"]) == ("changed", digest_of(TOOL), digest_of(NOW))
    assert "changed" in run(tmp_path, "ls")
    shown = run(tmp_path, "show", "far", "look")
    assert '-  "description": "Looks.",' in shown and digest_of(NOW)[:12] in shown
    assert "\x1b" not in shown and "\u202e" not in shown and "\\u001b" in shown
    run(tmp_path, "pin", "far", "look", digest_of(TOOL)[:12], code=1)
    run(tmp_path, "pin", "far", "look", digest_of(NOW)[:12], "--by", "ada")
    (row,) = json.loads(run(tmp_path, "ls", "--json"))
    assert (row["state"], row["digest"], row["by"]) == ("pinned", digest_of(NOW), "ada")
    run(tmp_path, "show", "far", "other", code=1)
