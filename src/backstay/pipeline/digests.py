"""What a run's key is made of besides settings: source code, library versions, files that people wrote."""

import hashlib
import importlib.metadata
import importlib.util
import platform
from functools import cache
from pathlib import Path
from typing import Any

import psutil

import backstay
from backstay.errors import UsageError
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.records import content_hash, file_sha256

PACKAGE_ROOT = Path(backstay.__file__).parent


def code_digest(packages: tuple[str, ...], run: str) -> str:
    """SHA-256 over the files of these packages, of `errors.py` and of the stage function's own module."""
    module = run.partition(":")[0]
    return content_hash([tree_sha256(PACKAGE_ROOT, (*packages, "errors.py")), file_sha256(_module_file(module))])


@cache
def tree_sha256(root: Path, names: tuple[str, ...]) -> str:
    """SHA-256 over path and content of every file under these names, byte-compiled files left out.

    Cached: a process hashes the code it runs once.
    """
    digest = hashlib.sha256()
    for name in names:
        path = root / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(root)}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _module_file(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UsageError(f"the stage's module {module} does not exist", cure="install this version of backstay again")
    return Path(spec.origin)


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, found without importing the libraries; `absent` where one is missing."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def machine() -> dict[str, Any]:
    """What the numbers were made on; no host name and no user name."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "cores": psutil.cpu_count(logical=True) or 0,
        "memory_bytes": psutil.virtual_memory().total,
    }


def prompt_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The prompts file, where the recipe names one."""
    return {} if recipe.prompts == "demo" else {"prompts": _text_digest(project, "prompts", recipe.prompts)}


def text_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """Prompts and demonstrations, where the recipe names files."""
    found = prompt_inputs(project, recipe)
    if recipe.demonstrations not in ("demo", "preferred"):
        found["demonstrations"] = _text_digest(project, "demonstrations", recipe.demonstrations)
    return found


def _text_digest(project: Project, key: str, name: str) -> str:
    path = project.resolve(name)
    if not path.is_file():
        raise UsageError(f"{key}: no file at {path}", cure=f"write `{key}: demo`, or the path of a jsonl file")
    return file_sha256(path)
