"""Tables of the lead's pages as CSV that a spreadsheet reads as text: no cell of it is taken for a formula."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters that make a spreadsheet compute; a text that begins so gets an apostrophe in front."""


def cell(value: Any) -> str:
    """One value. Numbers stay numbers, whatever their sign."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(STARTS) else text


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as columns named `outer_inner`, lists as text."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}_")
        else:
            found[f"{prefix}{name}"] = "; ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return found


def sheet(rows: Iterable[Mapping[str, Any]], name: str) -> Response:
    """A download; the columns are those of all rows, in the order in which they first come."""
    flattened = [flat(row) for row in rows]
    columns = list(dict.fromkeys(column for row in flattened for column in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(_cells(row, columns) for row in flattened)
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(out.getvalue().encode("utf-8", "backslashreplace"), 200, headers, "text/csv; charset=utf-8")


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [cell(row.get(column)) for column in columns]
