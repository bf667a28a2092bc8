"""The texts in a JSON value, for scanners."""

from collections.abc import Mapping
from typing import Any


def texts_in(value: Any) -> str:
    """Every text in a value, names of keys and numbers too, each on a line, in order; walks without recursion."""
    found: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, Mapping):
            stack.extend(reversed([part for pair in item.items() for part in pair]))
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, int | float) and not isinstance(item, bool):
            found.append(str(item))
    return "\n".join(found)
