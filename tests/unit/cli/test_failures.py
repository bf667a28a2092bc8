import errno
import importlib.metadata
import re
import sqlite3
import tomllib
from pathlib import Path

import click
import pytest
from sqlalchemy.exc import OperationalError

from backstay.cli.failures import EXTRA_OF, MODULES, report_failure, translate
from backstay.errors import GateRefused, IntegrityError, ResourceError, StageFailed, UsageError

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


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


@pytest.mark.parametrize(("module", "extra"), EXTRA_OF.items())
def test_a_module_that_is_missing_is_told_with_the_extra_that_brings_it(module: str, extra: str) -> None:
    known = translate(ModuleNotFoundError(f"No module named '{module}.inner'", name=f"{module}.inner"))
    assert isinstance(known, UsageError)
    assert known.message == f"{module}.inner is not installed, and this command needs it"
    assert (known.cure or "").startswith(f"pip install 'backstay[{extra}]'")
    assert "backstay[train]" in str(known.cure) or extra == "guard"


def test_every_module_of_an_extra_is_known_and_no_other() -> None:
    brought_by = importlib.metadata.packages_distributions()
    for extra, modules in MODULES.items():
        named = {re.split(r"[<>=\[]", line)[0] for line in EXTRAS[extra]} - {"backstay"}
        brought = {name.lower().replace("_", "-") for module in modules for name in brought_by[module]}
        assert brought == named, extra


def test_every_extra_that_a_message_or_a_page_names_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.joinpath("docs").rglob("*.md"), *ROOT.joinpath("src").rglob("*.py")]
    named = {
        extra
        for page in pages
        for found in re.findall(r"backstay\[([a-z,-]+)\]", page.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert {"aggregate", "guard", "ray", "postgres"} < named <= set(EXTRAS)


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
