"""Forms as browsers send them, read strictly; and the arguments that somebody typed as JSON."""

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from backstay.errors import UsageError
from backstay.guard.gateway.app import read_body

MAX_FORM = 2_000_000
"""Bytes: the longest arguments, every one of them escaped."""

MAX_FIELDS = 20
FORM_S = 30.0
"""Seconds within which a form must come."""
FORM_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, line ends as LF; raises UsageError, or ApiFault 413 for one that is too long."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise UsageError("the request is no form", cure=f"send {FORM_TYPE}")
    raw = await read_body(request, MAX_FORM, FORM_S)
    try:
        rows = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise UsageError("the form cannot be read", cure="load the page again") from error
    fields = dict(rows)
    if len(fields) < len(rows):
        raise UsageError("a field of the form stands there twice", cure="load the page again")
    return {name: value.replace("\r\n", "\n") for name, value in fields.items()}


def typed_args(text: str) -> dict[str, Any]:
    """Arguments that somebody typed as a JSON object; raises UsageError that says where it is wrong."""
    try:
        value = json.loads(text, object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"this is not JSON: {error.msg} ({where})", cure="correct it and send it again") from error
    except RecursionError as error:
        raise UsageError("the JSON is nested too deeply", cure="give fewer levels") from error
    if not isinstance(value, dict):
        raise UsageError("arguments are an object: { ... }", cure="give all arguments of the call by name")
    return value


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError("a name stands twice in one object", cure="keep one of them")
    return found


def _no_constant(name: str) -> Any:
    raise UsageError(f"{name} is not JSON", cure="give a number")
