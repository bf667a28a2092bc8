"""Server-sent events: read from pieces cut anywhere, in bounded memory, and written."""

from collections.abc import Iterator
from typing import NamedTuple

from backstay.errors import BackstayError

DONE = b"data: [DONE]\n\n"


class MalformedStream(BackstayError):
    """An upstream's stream is none."""


class Event(NamedTuple):
    """One event: its name ("" where it has none) and its data."""

    name: str
    data: bytes


class EventReader:
    """Takes in bytes and gives whole events (WHATWG HTML, 9.2.6); lines end with LF, CRLF or CR."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._rest = bytearray()
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece; raises MalformedStream for one that is too long."""
        if not piece:
            return
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = piece.endswith(b"\r")
        text = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = text.split(b"\n")
        self._rest += first  # Pieces of one long line are put together once, however small they are.
        for line in lines:
            whole, self._rest = bytes(self._rest), bytearray(line)
            event = self._line(whole)
            if event is not None:
                yield event
        if len(self._rest) + self._size > self._max:
            raise MalformedStream(f"an event is longer than {self._max} bytes")

    @property
    def torn(self) -> bool:
        """Whether the stream ended within an event."""
        return bool(self._rest or self._data)

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(line)
            if self._size > self._max:
                raise MalformedStream(f"an event is longer than {self._max} bytes")
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._name, b"\n".join(self._data)) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event


def event_bytes(data: bytes, name: str = "") -> bytes:
    """One event; `data` is JSON and so holds no line break."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"
