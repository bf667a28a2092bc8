"""Where a recipe's values come from: the file, then BACKSTAY_SECTION__KEY variables, then key=value arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backstay.errors import RecipeError, UsageError
from backstay.pipeline.yaml_text import KeyPath, parse_yaml

ENV_PREFIX = "BACKSTAY_"


@dataclass
class Layers:
    """Merged plain data, and for each key path the place that set it last."""

    data: dict[str, Any] = field(default_factory=dict)
    origin: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where a key was set, or the keys below it, or the nearest key above it."""
        if path in self.origin:
            return self.origin[path]
        below = [place for key, place in self.origin.items() if key[: len(path)] == path]
        if below:
            return " and ".join(dict.fromkeys(below))
        above = [self.origin[path[:length]] for length in range(len(path) - 1, 0, -1) if path[:length] in self.origin]
        return above[0] if above else "the defaults"

    def set(self, path: KeyPath, value: Any, place: str) -> None:
        """Set one value, making sections on the way."""
        section = self.data
        for depth, key in enumerate(path[:-1], start=1):
            inner = section.setdefault(key, {})
            if not isinstance(inner, dict):
                raise RecipeError(
                    f"{'.'.join(path)} in {place}: {'.'.join(path[:depth])} is no section, it is {inner!r}"
                )
            section = inner
        section[path[-1]] = value
        self.origin[path] = place


def layer_recipe(path: Path | None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Layers:
    """Read the file, then lay environment and arguments over it; later ones win."""
    layers = _from_file(path) if path else Layers()
    for variable in sorted(environ or {}):
        if variable.startswith(ENV_PREFIX) and "__" in variable.removeprefix(ENV_PREFIX):
            key = tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))
            layers.set(key, parse_yaml((environ or {})[variable], variable).data, variable)
    for override in overrides:
        _apply(layers, override)
    return layers


def _apply(layers: Layers, override: str) -> None:
    dotted, equals, text = override.partition("=")
    path = tuple(dotted.strip().split("."))
    if not equals or not all(path):
        raise UsageError(f"{override!r} is no setting", cure="write key.sub=value, such as ppo.updates=3")
    place = f"argument {override}"
    layers.set(path, parse_yaml(text, place).data if text.strip() else "", place)


def _from_file(path: Path) -> Layers:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no recipe at {path}", cure="backstay init DIR, or name one with -c FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from None
    parsed = parse_yaml(text, path.name)
    if not isinstance(parsed.data, dict):
        raise RecipeError(f"{path.name} must hold key: value pairs, seen {type(parsed.data).__name__}")
    data = {key: value for key, value in parsed.data.items() if value is not None}
    lines = {key: line for key, line in parsed.lines.items() if key[0] in data}
    return Layers(data, {key: f"{path.name} line {line}" for key, line in lines.items()})
