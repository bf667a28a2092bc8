"""Rows out of JSON documents: the objects of one array, read piece by piece, each with its line and column."""

import re
from collections.abc import Iterator
from pathlib import Path

from backstay.errors import ImportRefused
from backstay.feedback.importing.json_text import parse_json
from backstay.feedback.importing.lines import ReadLimits, read_blocks
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import SourceRow, json_row, read_rows

_MARK = re.compile(rb'"(?:[^"\\]|\\.)*+"|"|[{}\[\]]', re.DOTALL)
_BETWEEN = b" \t\r\n,"


def read_objects(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    """Objects of a file: one a line where its name says so (.jsonl, .ndjson), else those of a document."""
    name = path.name.lower().removesuffix(".gz")
    return read_rows(path, "jsonl", limits) if name.endswith((".jsonl", ".ndjson")) else read_document(path, limits)


def read_document(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    """Every object of the array that the file holds, or of its lines.

    Raises ImportRefused with line and column where the text stops being such an array.
    """
    text = _Text(path, limits)
    array = text.begins(b"[")
    if array:
        text.drop(1)
    number = 0
    while (mark := text.begins()) and mark != b"]":
        number += 1
        line, column = text.line, text.column
        if mark != b"{":
            text.refuse("an object should stand here")
        element = text.element()
        if element is None:
            said = f"an element is longer than {limits.max_line_bytes} bytes, or its brackets or quotes do not close"
            text.refuse(said, text.fault())
        else:
            yield json_row(line, element, number, column)
    text.check_end(array, mark)


class _Text:
    """A window on the bytes of a file, and where in the file it begins."""

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        self._path, self._limits = path, limits
        self._blocks = read_blocks(path, limits)
        self._window = bytearray()
        self.line = self.column = 1

    def begins(self, expected: bytes = b"") -> bytes:
        """The first byte that is neither space nor comma, and b"" at the end; if `expected`, only that one."""
        while True:
            rest = self._window.lstrip(_BETWEEN)
            self.drop(len(self._window) - len(rest))
            if self._window:
                found = bytes(self._window[:1])
                return found if not expected or found == expected else b""
            if not self._more():
                return b""

    def drop(self, size: int) -> bytes:
        """Take so many bytes out of the window."""
        gone = bytes(self._window[:size])
        del self._window[:size]
        lines = gone.count(b"\n")
        last = gone[gone.rfind(b"\n") + 1 :] if lines else gone
        # A character is counted by its first byte; the others begin with the bits 10.
        width = len(last) - sum(last.count(byte) for byte in _CONTINUATION if byte in last)
        self.line += lines
        self.column = width + 1 if lines else self.column + width
        return gone

    def element(self) -> bytes | None:
        """The object or list at the beginning; None when it does not end within the limit."""
        depth = place = 0
        while True:
            for found in _MARK.finditer(self._window, place):
                mark = found.group()
                if mark == b'"':
                    break
                place = found.end()
                depth += (mark in b"{[") - (mark in b"}]")
                if depth == 0:
                    return self.drop(place) if place <= self._limits.max_line_bytes else None
            if len(self._window) > self._limits.max_line_bytes or not self._more():
                return None

    def fault(self) -> int:
        """Where the window stops being JSON, in characters from its beginning."""
        try:
            parse_json(bytes(self._window))
        except RowProblem as problem:
            return problem.offset or 0
        return 0

    def refuse(self, said: str, offset: int = 0) -> None:
        """Refuse the file at a place behind the window's beginning."""
        before = bytes(self._window).decode(errors="replace")[:offset]
        lines = before.count("\n")
        column = offset - before.rfind("\n") if lines else self.column + offset
        place = f"line {self.line + lines}, column {column}"
        raise ImportRefused(f"{self._path}: {place}: cannot be read as JSON from here on: {said}", cure="mend the file")

    def check_end(self, array: bytes, mark: bytes) -> None:
        """Refuse an array that does not end, and text behind its end."""
        if array and not mark:
            self.refuse("the array does not end")
        if mark and not array:
            self.refuse("an object should stand here")
        if array:
            self.drop(1)
            if self.begins():
                self.refuse("there is more behind the array")

    def _more(self) -> bool:
        block = next(self._blocks, b"")
        self._window += block
        return bool(block)


_CONTINUATION = tuple(bytes([value]) for value in range(0x80, 0xC0))
