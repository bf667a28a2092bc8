import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backstay.errors import ResourceError
from backstay.storage import atomic_file, replace_folder_atomic, write_atomic

KILLED_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
from backstay.storage import write_atomic
write_atomic(Path(sys.argv[1]), b"new" * 1000)
"""


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_replaces_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old, and longer")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert leftovers(path.parent) == ["file"]


def test_failed_block_leaves_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="no space left on the disk while writing"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == ["file"]


def test_kill_between_write_and_rename_keeps_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAME, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_replace_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for name, text in (("final", "old"), ("filled", "new")):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text(text)
    (tmp_path / "final" / "only-old").touch()
    replace_folder_atomic(tmp_path / "filled", tmp_path / "final")
    assert leftovers(tmp_path) == ["final"]
    assert (tmp_path / "final" / "sub" / "file").read_text() == "new"
    assert not (tmp_path / "final" / "only-old").exists()
