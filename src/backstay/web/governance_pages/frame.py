"""What the pages of decisions share: the frame around them, their forms, and errors that people can read."""

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response

from backstay.errors import BackstayError, UsageError
from backstay.feedback.collection.submission import storable
from backstay.web.gate import SAFE, form_of
from backstay.web.visitors import page_visitor, pages_of

T = TypeVar("T")


async def page(request: Request, template: str, here: str, **values: Any) -> Response:
    """One of our pages."""
    return pages_of(request).page(f"govern_{template}", await page_visitor(request), here=here, **values)


async def told(request: Request, error: Exception, status: int) -> Response:
    """An error as a page, with the way back to where it came from."""
    text, cure = "the form does not fit", "load the page again"
    if isinstance(error, BackstayError):
        text, cure = error.message, error.cure or ""
    elif request.method in SAFE:
        text, cure = "there is no page at this address", ""
    try:
        visitor = await page_visitor(request)
    except BackstayError:  # Nobody can be looked up, which may be the very error that is told.
        visitor = None
    is_nowhere = status == 404 or (request.method in SAFE and not isinstance(error, BackstayError))
    title = "Not here" if is_nowhere else "This has changed" if status == 409 else "Nothing was done"
    back = getattr(error, "back", "/")
    return pages_of(request).message(
        title, sentence(text), status=status, visitor=visitor, cure=sentence(cure), back=back
    )


async def or_back(back: str, work: Awaitable[T]) -> T:
    """What the work gives; an error of ours is shown with a link to `back`."""
    try:
        return await work
    except BackstayError as error:
        error.back = back  # type: ignore[attr-defined]  # read by the handlers that show errors as pages
        raise


async def fields_of(request: Request) -> Mapping[str, str]:
    """The form's fields, each of them storable; raises UsageError."""
    fields = await form_of(request)
    for name, value in fields.items():
        try:
            storable(value)
        except ValueError as error:
            raise UsageError(f"the field {name[:40]} cannot be stored: {error}") from error
    return fields


def number(fields: Mapping[str, str], name: str, most: int) -> int:
    """A whole number of a form from 0 to `most`; raises UsageError."""
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
        raise UsageError(f"{name} is a number from 0 to {most}, not {text[:20]!r}", cure="load the page again")
    return int(text)


def sentence(words: str) -> str:
    """Words that begin with a capital and end with a stop."""
    whole = words[:1].upper() + words[1:]
    return whole if not whole or whole[-1] in ".!?" else f"{whole}."
