"""Checkpoints of a training stage: a folder of safetensors files and a state.json that holds their hashes."""

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backstay.errors import UsageError
from backstay.records import file_sha256, sha256_hex
from backstay.storage.atomic import disk_errors, remove_folder, replace_folder_atomic

KEPT = 2
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files were found to match their hashes."""

    path: Path
    step: int
    state: dict[str, Any]
    positions: dict[str, int]


class CheckpointFolder:
    """The `checkpoints/` folder of a run; the newest two checkpoints stay."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def writer(self, step: int, state: Mapping[str, Any], positions: Mapping[str, int]) -> Iterator[Path]:
        """Yield a folder to fill; seal it with state.json and rename it when the block ends well."""
        temporary = self.path / f".step-{step:06d}.{secrets.token_hex(6)}.tmp"
        with disk_errors(temporary):
            temporary.mkdir(parents=True)
            try:
                yield temporary
                (temporary / "state.json").write_bytes(_state_bytes(step, state, positions, temporary))
                replace_folder_atomic(temporary, self.path / f"step-{step:06d}")
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            self._delete_old()

    def last(self) -> Checkpoint | None:
        """The newest sound checkpoint; unsound ones and leftovers of killed writers are deleted."""
        if not self.path.is_dir():
            return None
        for leftover in self.path.glob(".*"):
            shutil.rmtree(leftover)
        for path in reversed(self._finished()):
            checkpoint = _load(path)
            if checkpoint is not None:
                return checkpoint
            remove_folder(path)
        return None

    def _finished(self) -> list[Path]:
        found = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=_step)

    def _delete_old(self) -> None:
        for path in self._finished()[:-KEPT]:
            remove_folder(path)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "state.json")
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def _dump(value: Mapping[str, Any]) -> str:
    """Sorted JSON, not RFC 8785: random generators have 128-bit integers, which that format refuses."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _state_bytes(step: int, state: Mapping[str, Any], positions: Mapping[str, int], folder: Path) -> bytes:
    body = {"step": step, "state": dict(state), "positions": dict(positions), "files": _hashes(folder)}
    try:
        text = _dump(body)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the state of checkpoint step {step} cannot be written as JSON: {error}") from error
    if json.loads(text) != body:
        raise UsageError(f"the state of checkpoint step {step} changes when written as JSON: tuples or non-string keys")
    return _dump({**body, "digest": sha256_hex(text.encode())}).encode()


def _load(path: Path) -> Checkpoint | None:
    """The checkpoint, or None when anything in it does not match."""
    try:
        body = json.loads((path / "state.json").read_bytes())
        digest = body.pop("digest")
        sound = digest == sha256_hex(_dump(body).encode()) and body["files"] == _hashes(path)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    if not sound or body["step"] != _step(path):
        return None
    return Checkpoint(path=path, step=body["step"], state=body["state"], positions=body["positions"])
