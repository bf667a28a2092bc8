"""Files and folders that appear whole or not at all, even when the process is killed half-way."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from backstay.errors import ResourceError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or forbidden disk into a ResourceError that names the path; other errors pass."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        # safetensors reports a full disk as an error of its own, with the system's words in it.
        if number in _FULL or "No space left on device" in str(error):
            raise ResourceError(
                f"no space left on the disk while writing {path}; what stood there before is unchanged",
                cure="free some space, then run the same command again",
            ) from error
        if number in _FORBIDDEN:
            raise ResourceError(f"may not write {path}: {error}", cure="check owner and mode") from error
        raise


def fsync_path(path: Path) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of `path` when the block ends well; else nothing changes."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_path(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path`: readers see the old bytes or the new ones, never a part."""
    with atomic_file(path) as file:
        file.write(data)


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and itself."""
    for path in folder.rglob("*"):
        fsync_path(path)
    fsync_path(folder)


def replace_folder_atomic(temporary: Path, final: Path) -> None:
    """Rename a filled folder to its final name after flushing it; both must lie on one file system.

    A folder that stands at `final` is moved aside first. A kill between the two renames leaves neither name in place,
    never a mixture; whoever reads must be able to go on without it.
    """
    with disk_errors(final):
        fsync_tree(temporary)
        if final.exists():
            remove_folder(final, replacement=temporary)
        else:
            temporary.rename(final)
        fsync_path(final.parent)


def remove_folder(folder: Path, *, replacement: Path | None = None) -> None:
    """Delete a folder so that a kill never leaves half of it under its own name."""
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.old")
    folder.rename(aside)
    if replacement is not None:
        replacement.rename(folder)
    shutil.rmtree(aside)
