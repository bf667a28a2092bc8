import errno
import sqlite3
from pathlib import Path

import click
import pytest
from sqlalchemy.exc import OperationalError

from backstay.cli.failures import report_failure, translate
from backstay.errors import GateRefused, IntegrityError, ResourceError, StageFailed, UsageError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (StageFailed("s"), 1),
        (GateRefused("g"), 3),
        (IntegrityError("i"), 4),
        (ResourceError("r"), 1),
        (click.exceptions.Abort(), 130),
        (click.UsageError("u"), 2),
        (MemoryError(), 1),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), 2),
    ],
)
def test_exit_codes(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_failure(error) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(click.exceptions.Abort())
    assert capsys.readouterr().err == "backstay: interrupted; run the same command again to continue\n"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), ResourceError, "no space left on the disk: /x/y"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), ResourceError, "may not use /x"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), UsageError, "pip install 'backstay[train]'"),
        (MemoryError("cannot allocate"), ResourceError, "not enough memory: cannot allocate"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ResourceError, "not enough memory"),
        (sqlite3.OperationalError("database is locked"), ResourceError, "locked"),
        (sqlite3.OperationalError("database or disk is full"), ResourceError, "no space left"),
        (sqlite3.DatabaseError("file is not a database"), IntegrityError, "damaged"),
        (OperationalError("q", {}, sqlite3.OperationalError("database is locked")), ResourceError, "locked"),
    ],
)
def test_what_the_machine_lacks_is_said_in_our_words(error: Exception, kind: type[Exception], said: str) -> None:
    known = translate(error)
    assert isinstance(known, kind)
    assert said in str(known)


def test_a_bug_is_unknown() -> None:
    assert translate(ValueError("x")) is None
    assert translate(RuntimeError("shape mismatch")) is None
    assert translate(ModuleNotFoundError("No module named 'backstay.x'", name="backstay.x")) is None


def test_a_bug_leaves_its_traceback_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".backstay").mkdir()
    inner = tmp_path / "deep"
    inner.mkdir()
    monkeypatch.chdir(inner)
    with pytest.raises(ValueError, match="odd") as caught:
        raise ValueError("odd\nsecond line")
    assert report_failure(caught.value) == 1
    (log,) = (tmp_path / ".backstay").glob("crash-*.log")
    assert "in test_a_bug_leaves_its_traceback_in_the_project" in log.read_text()
    message = capsys.readouterr().err
    assert message.startswith("error: unexpected ValueError: odd\n")
    assert str(log) in message
