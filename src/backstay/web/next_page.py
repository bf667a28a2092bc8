"""Where to go after signing in: a page of ours, and nowhere else."""

import re

HOME = "/"
_NEXT = re.compile(r"/(?:[A-Za-z0-9_~.-]+(?:/[A-Za-z0-9_~.-]+)*/?)?(?:\?[A-Za-z0-9_~.=&/-]*)?")
"""Each character fits in one place only: what does not match is known after one walk over it."""

LONGEST = 500
_NOT_AGAIN = ("/sign-in", "/sign-out", "/join/", "/api/")


def next_of(path: str) -> str:
    """The path where it is one of our pages; else the first page.

    A path has one `/` at its start and no two in a row, no backslash and nothing encoded, so no browser reads a host
    into it.
    """
    fits = len(path) <= LONGEST and _NEXT.fullmatch(path) is not None
    return path if fits and not path.startswith(_NOT_AGAIN) else HOME
