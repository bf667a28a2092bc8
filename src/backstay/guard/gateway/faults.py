"""What a client is told when it does not get what it asked for, in the shape that OpenAI's clients read."""

from collections.abc import Mapping
from typing import Any

import orjson

from backstay.errors import BackstayError


class ApiFault(BackstayError):
    """An answer that is an error.

    `code` is for programs: `denied`, `held`, `unauthorized`, `rate_limited`, `over_budget`, `too_large`,
    `bad_request`, `not_found`, `upstream_down`, `upstream_slow`, `upstream_malformed`, `guard_unavailable`,
    `release_refused`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.facts = dict(facts or {})

    def payload(self) -> dict[str, Any]:
        """The error object; `backstay` holds decision ids and what else a program can use."""
        kind = "guard_error" if self.status != 400 else "invalid_request_error"
        error: dict[str, Any] = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return {"error": error | ({"backstay": self.facts} if self.facts else {})}

    def body(self) -> bytes:
        """The payload as JSON."""
        return orjson.dumps(self.payload())


def bad_request(message: str) -> ApiFault:
    """The request is not what the API asks for."""
    return ApiFault(400, "bad_request", message)


def unavailable(message: str) -> ApiFault:
    """The guard cannot decide or record, and so nothing goes through."""
    return ApiFault(503, "guard_unavailable", message, headers={"retry-after": "2"})
