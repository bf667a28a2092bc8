"""What a call of the client raises.

BackstayError
|-- ConsoleUnreachable     no answer, after every attempt
`-- ApiError               an answer that is an error; `status`, `code`, `fields`
    |-- SignedOut          401: the token does not hold
    |-- Forbidden          403: it may not do this
    |-- NotFound           404
    |-- Conflict           409: a lease is over, a key was used for something else, an id is taken
    |-- Invalid            400, 413, 422: what was sent does not fit
    |   `-- ImportFailed   a file with rows that break its format; `problems`, `rejects`
    |-- TooManyRequests    429: `retry_after_s`
    `-- Unavailable        408, 5xx
"""

from collections.abc import Mapping
from typing import Any

from backstay.client.models import ImportProblem
from backstay.errors import BackstayError


class ConsoleUnreachable(BackstayError):
    """The console did not answer."""


class ApiError(BackstayError):
    """The console answered with an error."""

    def __init__(self, status: int, error: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(
            f"{status} {error.get('code', '')}: {error.get('message', '')}", cure=error.get("cure") or None
        )
        self.status, self.code = status, str(error.get("code", ""))
        self.fields = {str(field["place"]): str(field["message"]) for field in error.get("fields") or ()}
        self.retry_after_s = retry_after_s


class SignedOut(ApiError):
    """The token is missing, revoked or too old."""


class Forbidden(ApiError):
    """The token may not do this."""


class NotFound(ApiError):
    """There is nothing there, or nothing that the token may see."""


class Conflict(ApiError):
    """It cannot be done as things stand; nothing was stored."""


class Invalid(ApiError):
    """What was sent does not fit; `fields` says where."""


class ImportFailed(Invalid):
    """Rows break the format; nothing was stored. `rejects` is where all of them can be fetched."""

    def __init__(self, status: int, error: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(status, error, retry_after_s)
        self.problems = tuple(ImportProblem.model_validate(problem) for problem in error["problems"])
        self.rejects: str | None = error["rejects"]


class TooManyRequests(ApiError):
    """Too many requests; come back after `retry_after_s`."""


class Unavailable(ApiError):
    """The console could not do it now."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: SignedOut,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(status: int, body: Any, retry_after_s: float | None) -> ApiError:
    """The error that an answer tells; a body that is none of the console's (a proxy's page) tells only its status."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {"code": "no_answer_of_ours", "message": "the answer is not the console's", "cure": "check the address"}
    if error.get("code") == "import_refused" and "problems" in error:
        return ImportFailed(status, error, retry_after_s)
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else ApiError)
    return kind(status, error, retry_after_s)
