import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from backstay.errors import UsageError
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.inbox.forms import FORM_TYPE, MAX_FIELDS, MAX_FORM, read_form, typed_args


def read(body: bytes, kind: str = FORM_TYPE) -> dict[str, str]:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
    return asyncio.run(read_form(Request(scope, receive)))


def test_form_is_read_as_it_was_typed_with_plain_line_ends() -> None:
    found = read(b"reason=a%0D%0Ab%0Ac+%2B+%C3%A9&vote=deny&empty=", f"{FORM_TYPE}; charset=UTF-8")
    assert found == {"reason": "a\nb\nc + é", "vote": "deny", "empty": ""}


@pytest.mark.parametrize(
    "body", [b"vote=approve&vote=deny", b"a=%ff", b"vote", b"\xff=1", b"&".join([b"a=1"] * (MAX_FIELDS + 1))]
)
def test_form_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError):
        read(body)


def test_only_forms_are_read() -> None:
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
        with pytest.raises(UsageError, match="no form"):
            read(b"vote=approve", kind)
    with pytest.raises(ApiFault) as fault:
        read(b"a=" + b"x" * MAX_FORM)
    assert fault.value.status == 413


def test_typed_arguments() -> None:
    assert typed_args('{"a": [1, 2.5, null, "\\u202e"]}') == {"a": [1, 2.5, None, "\u202e"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1, column 1"),
        ('{"a": 1,}', "not JSON"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"b": {"a": 1, "a": 1}}', "stands twice"),
        ("[1]", "object"),
        ('"x"', "object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ("[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_typed_arguments_that_are_wrong(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        typed_args(text)
