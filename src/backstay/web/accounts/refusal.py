"""What the console answers where it does not do what was asked: a status, a code, and what to do."""

from collections.abc import Mapping

from backstay.errors import BackstayError


class Refused(BackstayError):
    """A request that is refused; `code` is for programs, the message and cure for people."""

    def __init__(
        self, status: int, code: str, message: str, *, cure: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, cure=cure or None)
        self.status, self.code, self.headers = status, code, dict(headers or {})

    def body(self) -> dict[str, object]:
        """The answer of the API."""
        return {"error": {"code": self.code, "message": self.message, "cure": self.cure or "", "fields": []}}


def not_here(what: str) -> Refused:
    """404: it does not exist, or is not the caller's; both are told alike."""
    return Refused(404, "not_found", f"there is no such {what}", cure="look at the list again")


def too_many(wait_s: int) -> Refused:
    """429, with the seconds to wait."""
    return Refused(
        429,
        "too_many_requests",
        "too many requests or attempts",
        cure=f"try again in {wait_s} s",
        headers={"retry-after": str(wait_s)},
    )
