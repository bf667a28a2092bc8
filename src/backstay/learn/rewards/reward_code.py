"""Finding the Python function that a recipe names as its reward.

A recipe that names code is as trusted as code: the module is imported, and whatever it does on import happens.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from backstay.errors import UsageError

RewardFunction = Callable[[list[str], list[str]], list[float]]
FORM = "name it as package.module:function, or as path/file.py:function with the path inside the project"


def load_function(target: str, folder: Path | None = None) -> RewardFunction:
    """The function that `module:function` or `file.py:function` names.

    A file is looked for under `folder` (default: the current folder) and must lie inside it. Raises UsageError for
    anything that is not importable, not public, or not callable with two arguments.
    """
    place, name = _parts(target)
    module = _from_file(place, folder or Path.cwd()) if place.endswith(".py") else _from_name(place)
    found: Any = getattr(module, name, None)
    if not callable(found):
        what = "nothing of that name" if found is None else f"a {type(found).__name__}"
        raise UsageError(f"{place} holds no function {name}: found {what}", cure=FORM)
    _check_arguments(found, target)
    function: RewardFunction = found
    return function


def function_digest(target: str, folder: Path | None = None) -> str:
    """SHA-256 of the source file that `target` lies in; a run made with other code is another run.

    Only that file is hashed, not what it imports.
    """
    place, _ = _parts(target)
    if place.endswith(".py"):
        path = _inside(place, folder or Path.cwd())
    else:
        origin = _spec(place).origin
        if origin is None or not Path(origin).is_file():
            raise UsageError(f"{place} has no source file", cure=FORM)
        path = Path(origin)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _parts(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    named = place.endswith(".py") or all(part.isidentifier() for part in place.split("."))
    if not colon or not named or not name.isidentifier() or name.startswith("_"):
        raise UsageError(f"{target!r} names no public function", cure=FORM)
    return place, name


def _spec(name: str) -> ModuleSpec:
    """Where a module lies. Nothing is imported: `find_spec` of a dotted name would import the packages above it."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for part in rest:
            places = spec.submodule_search_locations if spec else None
            spec = PathFinder.find_spec(part, list(places)) if places else None
    except (ImportError, ValueError) as error:
        raise UsageError(f"the reward module {name} cannot be found: {error}", cure=FORM) from error
    if spec is None:
        raise UsageError(f"the reward module {name} cannot be found", cure=f"{FORM}; is it installed here?")
    return spec


def _from_name(name: str) -> ModuleType:
    _spec(name)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise _import_failed(name, error) from error


def _from_file(place: str, folder: Path) -> ModuleType:
    path = _inside(place, folder)
    name = f"backstay_reward_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported", cure=FORM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _import_failed(place, error) from error
    return module


def _inside(place: str, folder: Path) -> Path:
    path = (folder / place).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UsageError(f"{place} lies outside {folder}", cure="put the file into the project")
    if not path.is_file():
        raise UsageError(f"no file {path}", cure=FORM)
    return path


def _import_failed(name: str, error: Exception) -> UsageError:
    return UsageError(f"importing the reward {name} raised {type(error).__name__}: {error}", cure="mend the module")


def _check_arguments(function: Any, target: str) -> None:
    try:
        inspect.signature(function).bind([], [])
    except ValueError:
        return  # Some built-in functions do not tell their signature.
    except TypeError as error:
        raise UsageError(
            f"{target} cannot be called with prompts and responses: {error}",
            cure="define it as function(prompts: list[str], responses: list[str]) -> list[float]",
        ) from error
