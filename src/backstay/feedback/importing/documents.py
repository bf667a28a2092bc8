"""Rows out of JSON documents: the objects of one array, read piece by piece, each with its line and column."""

import re
from collections.abc import Iterator
from pathlib import Path

from backstay.errors import ImportRefused
from backstay.feedback.importing.json_text import parse_json
from backstay.feedback.importing.lines import ReadLimits, read_blocks
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import SourceRow, json_row, read_rows

_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|"|[{}\[\]]', re.DOTALL)
_BETWEEN = re.compile(rb"[ \t\r\n,]*")


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
    """A window on the bytes of a file, and where in the file the next one stands."""

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        self._path, self._limits = path, limits
        self._blocks = read_blocks(path, limits)
        self._window, self._at = b"", 0
        self.line = self.column = 1

    def begins(self, expected: bytes = b"") -> bytes:
        """The next byte that is neither space nor comma, and b"" at the end; if `expected`, only that one."""
        while True:
            between = _BETWEEN.match(self._window, self._at)
            self.drop(between.end() - self._at if between else 0)
            if self._at < len(self._window):
                found = self._window[self._at : self._at + 1]
                return found if not expected or found == expected else b""
            if not self._more():
                return b""

    def drop(self, size: int) -> bytes:
        """Take the next bytes."""
        gone = self._window[self._at : self._at + size]
        self._at += size
        last = gone[gone.rfind(b"\n") + 1 :]
        width = len(last) if last.isascii() else len(last.decode(errors="replace"))
        self.column = width + 1 if len(last) < len(gone) else self.column + width
        self.line += gone.count(b"\n")
        return gone

    def element(self) -> bytes | None:
        """The next object or list; None when it does not end within the limit."""
        depth = size = 0
        while True:
            for found in _MARK.finditer(self._window, self._at + size):
                mark = found.group()
                if mark == b'"':
                    break
                size = found.end() - self._at
                depth += (mark in b"{[") - (mark in b"}]")
                if depth == 0 and size <= self._limits.max_line_bytes:
                    return self.drop(size)
            if len(self._window) - self._at > self._limits.max_line_bytes or not self._more():
                return None

    def fault(self) -> int:
        """Where the next element stops being JSON, in characters from its beginning; 0 when it is sound."""
        try:
            parse_json(self._window[self._at :])
        except RowProblem as problem:
            return 0 if "Extra data" in str(problem) else problem.offset or 0
        return 0

    def refuse(self, said: str, offset: int = 0) -> None:
        """Refuse the file at a place behind the window's beginning."""
        before = self._window[self._at :].decode(errors="replace")[:offset]
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
        """Read on: each time as much again as there is, so that a long element is not looked at too often."""
        rest = self._window[self._at :]
        parts, size = [rest], 0
        while size <= len(rest) and (block := next(self._blocks, b"")):
            parts.append(block)
            size += len(block)
        self._window, self._at = b"".join(parts), 0
        return size > 0
