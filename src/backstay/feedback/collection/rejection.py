"""What the console answers to somebody who asks for what cannot be."""

from typing import Literal

from backstay.errors import UsageError

Code = Literal[
    "not_found",
    "lease_over",
    "key_reused",
    "already_judged",
    "nothing_to_undo",
    "does_not_fit",
    "closed",
    "paused",
    "conflict",
    "own_item",
    "two_persons",
]


class Rejected(UsageError):
    """Nothing was stored; `code` says why, for programs, and `place` names the field, where it was one."""

    def __init__(self, code: Code, message: str, *, cure: str | None = None, place: str = "") -> None:
        super().__init__(message, cure=cure)
        self.code, self.place = code, place
