"""Validation errors of a recipe in words: which key, where it stands, the value seen, what is accepted."""

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from backstay.errors import RecipeError
from backstay.pipeline.recipe_layers import Layers
from backstay.pipeline.yaml_text import KeyPath

SHOWN_VALUE_CHARACTERS = 80


def explain(error: ValidationError, model: type[BaseModel], layers: Layers) -> RecipeError:
    """One RecipeError for all problems, a line each."""
    known = tuple(known_keys(model))
    lines = [_sentence(detail, known, layers) for detail in error.errors(include_url=False)]
    return RecipeError("\n".join(dict.fromkeys(lines)))


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a settings model, sections before their keys."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from known_keys(info.annotation, f"{prefix}{name}.")


def nearest_key(key: str, known: tuple[str, ...]) -> str | None:
    """The known key that a mistyped one most likely meant, by its whole path first, then by its last part."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    if close:
        return close[0]
    by_leaf = {name.rpartition(".")[2]: name for name in reversed(known)}
    leaf = difflib.get_close_matches(key.rpartition(".")[2], by_leaf, n=1, cutoff=0.6)
    return by_leaf[leaf[0]] if leaf else None


def _sentence(detail: ErrorDetails, known: tuple[str, ...], layers: Layers) -> str:
    path = tuple(str(part) for part in detail["loc"])
    key, place = ".".join(path), layers.place(path)
    if detail["type"] == "extra_forbidden":
        near = nearest_key(key, known)
        return f"unknown key {key} in {place}; " + (f"nearest known key: {near}" if near else _siblings(path, known))
    accepted = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{key} in {place}: {accepted}" if key else accepted  # two sections that do not fit have no one place
    return f"{key} in {place}: {_shown(detail['input'])} is not accepted; {accepted[:1].lower()}{accepted[1:]}"


def _siblings(path: KeyPath, known: tuple[str, ...]) -> str:
    prefix = "".join(f"{part}." for part in path[:-1])
    names = [key for key in known if key.startswith(prefix) and "." not in key.removeprefix(prefix)]
    return f"known keys here: {', '.join(names)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_VALUE_CHARACTERS else f"{text[:SHOWN_VALUE_CHARACTERS]}..."
