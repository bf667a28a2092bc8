"""Server-sent events are read the same however they are cut, and in bounded memory."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.guard.gateway.sse import Event, EventReader, MalformedStream, event_bytes

LINES = st.lists(
    st.sampled_from(
        [
            b"data: x",
            b"data:y",
            b"data",
            b"event: e",
            b": comment",
            b"id: 7",
            b"",
            b"",
            b"data: \xc3\xa4 z",
            b"nonsense",
        ]
    ),
    max_size=30,
)


def by_the_standard(text: bytes) -> list[Event]:
    """The whole text at once, by the algorithm of the standard (WHATWG HTML, 9.2.6), written otherwise."""
    events: list[Event] = []
    data: list[bytes] = []
    name = ""
    lines = re.split(rb"\r\n|\n|\r", text)
    for line in lines[:-1]:
        if line == b"":
            if data:
                events.append(Event(name, b"\n".join(data)))
            name, data = "", []
        elif line.startswith(b"data:") or line == b"data":
            value = line[5:]
            data.append(value[1:] if value.startswith(b" ") else value)
        elif line.startswith(b"event:"):
            name = line[6:].decode().removeprefix(" ")
    return events


@given(LINES, st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=30, max_size=30), st.data())
def test_any_cut_gives_the_events_of_the_whole(lines: list[bytes], ends: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + end for line, end in zip(lines, ends, strict=False)) + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    reader = EventReader(1000)
    found: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found.extend(reader.feed(text[start:end]))
    assert found == by_the_standard(text)


def test_an_event_without_end_is_refused_before_it_fills_memory() -> None:
    for piece in (b"data: xxxxxxxxxx", b"data: xxxxxxxxxx\n"):
        reader = EventReader(100)
        fed = (list(reader.feed(piece)) for _ in range(12))
        with pytest.raises(MalformedStream):
            list(fed)


def test_a_stream_that_ends_within_an_event_is_torn() -> None:
    reader = EventReader(100)
    assert list(reader.feed(b"data: x\n\n")) == [Event("", b"x")] and not reader.torn
    list(reader.feed(b"data: y\n"))
    assert reader.torn


def test_written_events_are_read_again() -> None:
    text = event_bytes(b'{"a": 1}', "kind") + event_bytes(b"2")
    assert list(EventReader(100).feed(text)) == [Event("kind", b'{"a": 1}'), Event("", b"2")]


def test_lines_without_data_are_bounded_too() -> None:
    reader = EventReader(1000)
    with pytest.raises(MalformedStream):
        list(reader.feed(b"data:\n" * 300))


def test_a_long_line_in_small_pieces_is_put_together_once() -> None:
    reader, began = EventReader(4_000_000), time.process_time()
    for _ in range(300_000):
        list(reader.feed(b"data: 0123"))
    assert [len(event.data) for event in reader.feed(b"\n\n")] == [3_000_000 - 6]
    assert time.process_time() - began < 10  # Copied anew for each piece it would be 450 GB.
