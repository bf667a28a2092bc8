"""What a run's key is made of besides settings: source code, library versions, files that people wrote."""

import ast
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
from backstay.learn.rewards.reward_code import function_digest
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.records import content_hash, file_sha256

STAGES = "backstay.pipeline.stages"
TEXTS = "backstay.pipeline.texts"
PACKAGE_ROOT = Path(backstay.__file__).parent


def code_digest(packages: tuple[str, ...], run: str) -> str:
    """SHA-256 over the files of these packages, of `errors.py` and of the stage function's own modules."""
    own = {module: file_sha256(path) for module, path in sorted(own_modules(run.partition(":")[0]).items())}
    return content_hash([tree_sha256(PACKAGE_ROOT, (*packages, "errors.py")), own])


@cache
def own_modules(module: str) -> dict[str, Path]:
    """The module of a stage function and those beside it that it imports, found by parsing, by name.

    The rest of the pipeline decides what runs and not what comes out, so it does not count.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _module_file(name)
            waiting.extend(_imports_beside(found[name]))
    return found


def _imports_beside(path: Path) -> list[str]:
    statements = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    froms = [node for node in statements if isinstance(node, ast.ImportFrom) and node.module]
    named = [str(node.module) for node in froms]
    named += [f"{node.module}.{alias.name}" for node in froms if node.module == STAGES for alias in node.names]
    return [name for name in named if name == TEXTS or name.startswith(f"{STAGES}.")]


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


def model_inputs(recipe: Recipe) -> dict[str, str]:
    """The files of a base model in a folder; other sources are pinned by their name."""
    folder = Path(recipe.model.source)
    if not folder.is_dir():
        return {}
    files = sorted(file for file in folder.iterdir() if file.suffix in {".json", ".jinja", ".safetensors"})
    return {"model": content_hash({file.name: file_sha256(file) for file in files})}


def sample_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The base model and the prompts."""
    return model_inputs(recipe) | prompt_inputs(project, recipe)


def prompt_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The prompts file, where the recipe names one."""
    return {} if recipe.prompts == "demo" else {"prompts": _text_digest(project, "prompts", recipe.prompts)}


def text_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The base model, prompts and demonstrations, where the recipe names files."""
    found = sample_inputs(project, recipe)
    if recipe.demonstrations not in ("demo", "preferred"):
        found["demonstrations"] = _text_digest(project, "demonstrations", recipe.demonstrations)
    return found


def reward_inputs(project: Project, recipe: Recipe) -> dict[str, str]:
    """The file of a reward function that the recipe names; what a service computes is not known."""
    kind, _, target = recipe.ppo.reward.partition(":")
    if kind != "python":
        return {}
    return {"reward_function": function_digest(target, project.root)}


def _text_digest(project: Project, key: str, name: str) -> str:
    path = project.resolve(name)
    if not path.is_file():
        raise UsageError(f"{key}: no file at {path}", cure=f"write `{key}: demo`, or the path of a jsonl file")
    return file_sha256(path)
