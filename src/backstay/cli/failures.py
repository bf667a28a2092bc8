"""What an exception becomes at the top: one message, an exit code, and a crash log for what nobody foresaw."""

import errno
import json
import platform
import sqlite3
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

import click

from backstay import __version__
from backstay.errors import BackstayError, IntegrityError, ResourceError, UsageError

INTERRUPTED = 130
MODULES = {
    "train": ("gguf", "huggingface_hub", "safetensors", "tokenizers", "torch", "transformers"),
    "aggregate": ("matplotlib", "numba", "pyarrow", "rich", "scipy"),
    "guard": (
        *("ahocorasick_rs", "aiohttp", "cel_expr_python", "httptools", "orjson", "prometheus_client", "re2"),
        *("sqlglot", "starlette", "tree_sitter", "tree_sitter_bash", "uvicorn", "uvloop"),
    ),
}
"""Modules that an extra brings; a test holds them against the extras of the package."""

EXTRA_OF = {module: extra for extra, modules in MODULES.items() for module in modules}
SAME_AGAIN = "run the same command again: finished stages are reused, an unfinished one goes on from its checkpoint"


def report_failure(error: Exception, *, as_json: bool = False) -> int:
    """Print an error to stderr (as JSON to stdout for programs) and return the exit code."""
    if isinstance(error, click.exceptions.Abort):
        return _print("interrupted; run the same command again to continue", INTERRUPTED, as_json, "Interrupted")
    if isinstance(error, click.ClickException):
        return _print(_click_message(error), 2, as_json, "UsageError")
    known = translate(error)
    if known is None:
        path = write_crash_log(error)
        known = BackstayError(
            f"unexpected {type(error).__name__}: {_first_line(error)}", cure=f"the details are in {path}; {SAME_AGAIN}"
        )
    return _print(str(known), known.exit_code, as_json, type(known).__name__)


def translate(error: BaseException) -> BackstayError | None:
    """The error of our tree that an exception amounts to, None for a bug."""
    if isinstance(error, BackstayError):
        return error
    if isinstance(error, MemoryError) or _is_torch_out_of_memory(error):
        return ResourceError(
            f"not enough memory: {_first_line(error) or 'allocation failed'}",
            cure="`backstay plan` shows what is needed; lower ppo.micro_batch, sample.batch_size or reward.batch_size",
        )
    if isinstance(error, OSError):
        return _translate_os_error(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in EXTRA_OF:
        return _missing_extra(str(error.name))
    return _translate_database(getattr(error, "orig", error))


def _missing_extra(module: str) -> UsageError:
    extra = EXTRA_OF[module.partition(".")[0]]
    whole = ", or for training too: pip install 'backstay[train]'" if extra == "aggregate" else ""
    return UsageError(
        f"{module} is not installed, and this command needs it", cure=f"pip install 'backstay[{extra}]'{whole}"
    )


def _translate_os_error(error: OSError) -> BackstayError | None:
    place = error.filename or "the disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"no space left on the disk: {place}", cure=f"free some space, then {SAME_AGAIN}")
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return UsageError(f"{error.strerror}: {place}", cure="check the path")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return ResourceError(f"may not use {place}: {error.strerror}", cure="check owner and mode")
    return None


def _translate_database(error: BaseException) -> BackstayError | None:
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error)
    if type(error).__module__.partition(".")[0] == "psycopg":
        return BackstayError(f"the database refused: {_first_line(error)}", cure="backstay db check")
    return None


def _translate_sqlite(error: sqlite3.Error) -> BackstayError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return ResourceError(f"the database is locked: {text}", cure="wait for the other process, or end it")
    if "disk is full" in text:
        return ResourceError(f"no space left for the database: {text}", cure="free some space")
    if "malformed" in text or "not a database" in text:
        return IntegrityError(f"the database is damaged: {text}", cure="restore .backstay/backstay.db from a copy")
    return BackstayError(f"the database refused: {text}", cure="backstay verify")


def _is_torch_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    named = type(error).__name__ == "OutOfMemoryError"
    return named or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )


def write_crash_log(error: BaseException) -> Path:
    """Put the traceback under .backstay/ of the project, or into the temporary folder when there is none."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    trace = "".join(traceback.format_exception(error))
    text = f"backstay {__version__}, Python {platform.python_version()}, {platform.system()}\n{trace}"
    here = Path.cwd()
    state = next((folder / ".backstay" for folder in (here, *here.parents) if (folder / ".backstay").is_dir()), None)
    for folder in (state, Path(tempfile.gettempdir())):
        if folder is not None:
            path = folder / f"crash-{stamp}.log"
            try:
                path.write_text(text, encoding="utf-8")
            except OSError:
                continue
            return path
    return Path("(no folder could be written)")


def _click_message(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    usage = f"\n  cure: {context.command_path} --help" if context else ""
    return error.format_message() + usage


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _print(message: str, exit_code: int, as_json: bool, kind: str) -> int:
    if as_json:
        print(json.dumps({"error": {"kind": kind, "message": message, "exit_code": exit_code}}))
    else:
        print(f"backstay: {message}" if exit_code == INTERRUPTED else f"error: {message}", file=sys.stderr)
    return exit_code
