"""Texts in requests: bounded, without NUL or halves of characters."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backstay.feedback.collection.submission import storable


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("control characters and line ends are not taken")
    return value


class Body(BaseModel):
    """A request's body; a key that it does not name is refused, so that nobody can set more than is offered."""

    model_config = ConfigDict(extra="forbid", strict=True)


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
"""One line of text, perhaps empty."""

SomeLine = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line of text."""

Password = Annotated[str, Field(max_length=1024), AfterValidator(storable)]
ProjectName = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_one_line)]
"""A project's id."""
