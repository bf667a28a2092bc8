"""Pages of long lists: `limit` says how many, `after` is the last id seen, and `next` what to pass on as `after`."""

from typing import Annotated

from fastapi import Query

MOST = 500
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many to return at most.")]
