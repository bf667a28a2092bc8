"""Carrying a change of a project's settings through its items, in units of work that raters hardly notice."""

import time

from backstay.feedback.collection.resettling import changes_waiting, resettle_page
from backstay.web.console import Console

AT_ONCE_S = 2.0
"""How long whoever changed the settings waits for it; the server's sweep does the rest, after a crash too."""


async def resettle(console: Console, most_s: float = AT_ONCE_S) -> bool:
    """Carry the changes through that wait; whether all are, rather than the time being over."""
    until_s = time.monotonic() + most_s
    for project, change in (await console.read(changes_waiting)).items():
        after: str | None = ""
        while after is not None:
            after = await console.write(lambda unit, p=project, c=change, a=after: resettle_page(unit, p, c, a))  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
            if after is not None and time.monotonic() > until_s:
                return False
    return True
