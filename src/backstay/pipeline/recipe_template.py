"""The recipe that `backstay init` writes: every setting with its default and its meaning, commented out."""

import textwrap
from collections.abc import Iterator

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from backstay.pipeline.recipe import Recipe

WIDTH = 116
HEAD = """\
# What decides a run. A line that stays a comment follows the defaults of the installed version;
# `backstay config show` prints what everything resolves to.
"""


def recipe_template(name: str) -> str:
    """YAML that resolves to the defaults, with `name` set."""
    lines = [HEAD, f"name: {_scalar(name)}", ""]
    for key, info in Recipe.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            lines += ["", f"# {info.description}", f"{key}:", *_settings(default, "  ")]
        elif key != "name":
            lines += _setting(key, default, info, "")
    return "\n".join(lines) + "\n"


def _settings(section: BaseModel, prefix: str) -> Iterator[str]:
    """Lines of a section; `prefix` is the indentation, then the comment mark of a section that is a comment itself."""
    for key, info in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield f"{prefix}# {key}:"
            yield from _settings(value, f"{prefix}#   ")
        else:
            yield from _setting(key, value, info, prefix)


def _setting(key: str, value: object, info: FieldInfo, prefix: str) -> Iterator[str]:
    inside_comment = "#" in prefix
    meaning = " ".join((info.description or "").split())
    for line in textwrap.wrap(meaning, WIDTH - len(prefix)):
        yield f"{prefix}# {line}" if inside_comment else f"{prefix}## {line}"
    yield f"{prefix}{key}: {_scalar(value)}" if inside_comment else f"{prefix}# {key}: {_scalar(value)}"


def _scalar(value: object) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    dumped = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
    return dumped.removesuffix("\n...\n").strip()
