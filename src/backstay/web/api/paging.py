"""Pages of long lists: `limit` says how many, `after` is the last id seen, and `next` what to pass on as `after`."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

MOST = 500
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many to return at most.")]

Row = TypeVar("Row")
Place = TypeVar("Place", str, int)


def following(found: Sequence[Row], limit: int, place: Callable[[Row], Place]) -> Place | None:
    """What the next page is `after`: the place of the last row of a full page, else None."""
    return place(found[-1]) if len(found) >= limit else None
