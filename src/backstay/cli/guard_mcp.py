"""`backstay guard mcp`: the pinned tools of MCP servers, what changed since, and pinning it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.guard.mcp.pins import Pin

PINS = click.option(
    "--pins",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".backstay/mcp-pins"),
    show_default=True,
    help="Folder of the pinned tools.",
)


@click.group()
def mcp() -> None:
    """Pinned tools of MCP servers: what they said of themselves, and what they say now."""


@mcp.command(name="ls")
@PINS
@shared_options
def ls(session: Session, pins: Path) -> None:
    """List the pinned tools, and those that wait for an operator."""
    from backstay.guard.mcp.pins import Pins

    every = Pins(pins).every()
    if session.as_json:
        session.emit([_row(pin) for pin in every])
        return
    rows = [[pin.server, pin.tool, _state(pin), pin.digest[:12], pin.offered_digest[:12], pin.at] for pin in every]
    session.table(["server", "tool", "state", "pinned", "offered", "since"], rows)


@mcp.command(name="show")
@click.argument("server")
@click.argument("tool")
@PINS
@shared_options
def show(session: Session, server: str, tool: str, pins: Path) -> None:
    """Show what a tool says of itself, line by line where that changed; nothing in it is printed as it came."""
    import difflib

    pin = _found(pins, server, tool)
    if session.as_json:
        session.emit(_row(pin) | {"definition": pin.definition, "offers": pin.offered})
        return
    before, now = _lines(pin.definition), _lines(pin.definition if pin.offered is None else pin.offered)
    for line in before if pin.offered is None else difflib.unified_diff(before, now, "pinned", "offered", lineterm=""):
        session.say(line)
    if pin.offered is not None:
        session.say(f"\nbackstay guard mcp pin {server} {tool} {pin.offered_digest[:12]}")


@mcp.command(name="pin")
@click.argument("server")
@click.argument("tool")
@click.argument("digest")
@click.option("--by", default="operator", show_default=True, help="Who looked at it.")
@PINS
@shared_options
def pin_tool(session: Session, server: str, tool: str, digest: str, by: str, pins: Path) -> None:
    """Pin what a tool offers now, if that has this DIGEST still (its first 12 characters, as `show` prints them)."""
    from backstay.guard.mcp.pins import Pins

    pin = Pins(pins).approve(server, tool, digest, by)
    if session.as_json:
        session.emit(_row(pin))
    else:
        session.say(f"pinned {server}/{tool} as {pin.digest[:12]}")


def _found(pins: Path, server: str, tool: str) -> "Pin":
    from backstay.errors import UsageError
    from backstay.guard.mcp.pins import Pins

    pin = Pins(pins).get(server, tool)
    if pin is None:
        raise UsageError(f"{server} has never offered the tool {tool!r}", cure="backstay guard mcp ls")
    return pin


def _state(pin: "Pin") -> str:
    if not pin.digest:
        return "new"
    return "changed" if pin.offered is not None else f"pinned ({pin.by})"


def _row(pin: "Pin") -> dict[str, object]:
    return {
        "server": pin.server,
        "tool": pin.tool,
        "state": "pinned" if pin.digest and pin.offered is None else _state(pin),
        "digest": pin.digest,
        "offered": pin.offered_digest,
        "by": pin.by,
        "at": pin.at,
    }


def _lines(definition: dict[str, object]) -> list[str]:
    return json.dumps(definition, indent=2, sort_keys=True, ensure_ascii=True).splitlines()
