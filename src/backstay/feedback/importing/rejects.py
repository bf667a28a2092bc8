"""The refused rows of an import in a file of their own, beside what they came from."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from backstay.errors import UsageError
from backstay.records import file_sha256
from backstay.storage.atomic import disk_errors, fsync_path


def rejects_path(path: Path) -> Path:
    """Where the rejects of a file belong: NAME.rejects.jsonl."""
    return path.with_name(f"{path.name}.rejects.jsonl")


@contextlib.contextmanager
def rejects_beside(target: Path | None, rejects: Path) -> Iterator[None]:
    """Put a copy of `rejects` at `target` when the block ends well; without a target, do nothing.

    The copy is whole on the disk before the block begins, so that a full disk is known before anything is stored.
    Raises UsageError where a file with other content stands there.
    """
    if target is None:
        yield
        return
    _check(target, rejects)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(target):
        try:
            shutil.copyfile(rejects, temporary)
            fsync_path(temporary)
            yield
            _check(target, rejects)
            temporary.replace(target)
            fsync_path(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _check(target: Path, rejects: Path) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if target.is_symlink() or not target.is_file() or file_sha256(target) != file_sha256(rejects):
        raise UsageError(f"{target} stands already and holds other rejects", cure="move it away, then import again")
