"""A run folder between attempts: what is kept for going on, what is cleared, what is set aside."""

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from backstay.pipeline.run_lock import LOCK
from backstay.storage.atomic import write_atomic
from backstay.storage.run_folder import RunFolder

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Workspace:
    """A run folder that a stage may write; `resumed` says whether a checkpoint was found in it."""

    run_folder: RunFolder
    resumed: bool


def open_workspace(path: Path, config: str, *, resume: bool = True) -> Workspace:
    """Prepare a folder for a stage: keep everything when there is a checkpoint to go on from, else start empty."""
    run_folder = RunFolder(path)
    resumed = resume and run_folder.last_checkpoint() is not None
    if not resumed:
        _clear(path)
    write_atomic(path / CONFIG, config.encode())
    return Workspace(run_folder, resumed)


def set_aside(path: Path) -> Path:
    """Rename a run that does not verify, so that it can be looked at and never be reused."""
    for number in itertools.count(1):
        aside = path.with_name(f".{path.name}.broken-{number}")
        if not aside.exists():
            path.rename(aside)
            return aside
    raise AssertionError("unreachable: the count has no end")


def _clear(path: Path) -> None:
    for item in path.iterdir():
        if item.name == LOCK:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
