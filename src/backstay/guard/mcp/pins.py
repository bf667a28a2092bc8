"""Pinned tools: what a tool said of itself when it was first seen or approved, kept in a file for each tool.

A file is made with `O_EXCL`, so of two processes that see a tool first, one pins it and both keep to that.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from backstay.errors import ResourceError, UsageError
from backstay.records import content_hash, sha256_hex
from backstay.storage import write_atomic
from backstay.storage.journal import utc_now

FIELDS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What is pinned, and all of a tool that a client sees."""
Verdict = Literal["pinned", "changed", "new", "full"]


class Pin(NamedTuple):
    """One pinned tool; `offered` is another definition that its server told since, which nobody has approved."""

    server: str
    tool: str
    digest: str
    definition: dict[str, Any]
    by: str
    at: str
    offered: dict[str, Any] | None = None

    @property
    def offered_digest(self) -> str:
        """Digest of what is offered; "" where that is nothing."""
        return "" if self.offered is None else digest_of(self.offered)


def seen_part(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What a client sees of a tool."""
    return {name: definition[name] for name in FIELDS if name in definition}


def digest_of(definition: Mapping[str, Any]) -> str:
    """SHA-256 of what a client sees of a tool."""
    return content_hash(seen_part(definition))


def lookalike_key(name: str) -> str:
    """Plain names that people take for one another have the same key: case, 0 and o, 1, l and i, and separators."""
    return name.lower().translate(str.maketrans("01il-._:+@", "olll______"))


class Pins:
    """The pinned tools of all servers, in a folder beside the ledger."""

    def __init__(self, folder: Path, most: int = 1000) -> None:
        self._folder, self._most = folder, most
        self._read: dict[Path, tuple[tuple[int, int, int], Pin]] = {}

    def get(self, server: str, tool: str) -> Pin | None:
        """The pin of a tool, None where it has none; raises ResourceError for a file that cannot be read."""
        path = self._path(server, tool)
        pin = self._known(path)
        if pin is not None and (pin.server, pin.tool) != (server, tool):
            raise ResourceError(f"{path} is the pin of another tool", cure="take the file away")
        return pin

    def _known(self, path: Path) -> Pin | None:
        """What a file holds, read again only when it changed."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            known = self._read[path] = (stamp, _pin(path))
        return known[1]

    def check(self, server: str, definition: Mapping[str, Any], *, first: bool) -> Verdict:
        """Whether a tool is as it was pinned; one that is new is pinned where `first` says so."""
        tool = str(definition["name"])
        pin = self.get(server, tool)
        if pin is None:
            return self._first(server, tool, definition) if first else self._propose(server, tool, definition)
        if pin.digest == digest_of(definition):
            return "pinned"
        if pin.offered_digest != digest_of(definition):
            self._write(pin._replace(offered=seen_part(definition)))
        return "changed" if pin.digest else "new"

    def approve(self, server: str, tool: str, digest: str, by: str = "operator") -> Pin:
        """Pin what is offered now, if it has this digest still; raises UsageError."""
        pin = self.get(server, tool)
        if pin is None:
            raise UsageError(f"{server} has never offered the tool {tool!r}", cure="backstay guard mcp ls")
        offered = pin.offered if pin.offered is not None else pin.definition
        if not digest or not digest_of(offered).startswith(digest) or len(digest) < 12:
            raise UsageError(
                f"{server}/{tool} offers {digest_of(offered)[:12]}, not {digest[:12] or 'nothing'}",
                cure="look at it again with `backstay guard mcp show`, and give the first 12 characters of its digest",
            )
        approved = Pin(server, tool, digest_of(offered), offered, by, utc_now())
        self._write(approved)
        return approved

    def every(self) -> list[Pin]:
        """All pins, by server and tool."""
        return sorted(_pin(path) for path in self._folder.glob("*/[0-9a-f]*.json"))

    def names(self, server: str) -> set[str]:
        """The tools of a server that are pinned."""
        found = map(self._known, (self._folder / server).glob("[0-9a-f]*.json"))
        return {pin.tool for pin in found if pin is not None and pin.digest}

    def _first(self, server: str, tool: str, definition: Mapping[str, Any]) -> Verdict:
        seen = seen_part(definition)
        pin = Pin(server, tool, digest_of(seen), seen, "first seen", utc_now())
        if self._create(pin):
            return "pinned"
        return self.check(server, definition, first=False) if self.get(server, tool) else "full"

    def _propose(self, server: str, tool: str, definition: Mapping[str, Any]) -> Verdict:
        """Keep what a new tool says, so that an operator can pin it."""
        self._create(Pin(server, tool, "", {}, "", utc_now(), seen_part(definition)))
        return "new"

    def _create(self, pin: Pin) -> bool:
        """Make a file that is not there yet; False where it is, or where there are too many."""
        path = self._path(pin.server, pin.tool)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if sum(1 for _ in path.parent.iterdir()) >= self._most:
                return False
            whole = path.with_name(f".{os.getpid()}-{path.name}")
            whole.write_bytes(_bytes(pin))
            try:
                os.link(whole, path)
            finally:
                whole.unlink()
        except FileExistsError:
            return False
        except OSError as error:
            raise ResourceError(f"{path} cannot be written: {error.strerror}", cure="see to the folder") from error
        return True

    def _write(self, pin: Pin) -> None:
        try:
            write_atomic(self._path(pin.server, pin.tool), _bytes(pin))
        except OSError as error:
            raise ResourceError(f"the pin of {pin.tool} cannot be written: {error.strerror}") from error

    def _path(self, server: str, tool: str) -> Path:
        """Named by a digest, since a tool's name may hold what a file's may not."""
        return self._folder / server / f"{sha256_hex(tool.encode())[:40]}.json"


def lookalikes(names: Iterable[str], pinned: Iterable[str]) -> set[str]:
    """Names that look like another one: the pinned one of a group stays, where there is one only."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(lookalike_key(name), set()).add(name)
    kept: dict[str, set[str]] = {}
    for name in pinned:
        kept.setdefault(lookalike_key(name), set()).add(name)
    refused: set[str] = set()
    for key, group in groups.items():
        known = kept.get(key, set())
        if len(group | known) > 1:
            refused |= group - known if len(known) == 1 else group
    return refused


def _pin(path: Path) -> Pin:
    try:
        value = orjson.loads(path.read_bytes())
        pin = Pin(**value)
        if not isinstance(pin.definition, dict) or (pin.digest and digest_of(pin.definition) != pin.digest):
            raise ValueError("its digest is not that of its definition")
    except (OSError, ValueError, TypeError) as error:
        raise ResourceError(f"{path} is no pin: {error}", cure="take the file away and pin the tool again") from error
    return pin


def _bytes(pin: Pin) -> bytes:
    return orjson.dumps(pin._asdict(), option=orjson.OPT_INDENT_2)
