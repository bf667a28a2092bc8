"""The folder of one stage run: logs that can be cut back, and checkpoints that are whole or absent."""

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from backstay.errors import IntegrityError, UsageError
from backstay.records import canonical_json
from backstay.storage.atomic import disk_errors, fsync_path
from backstay.storage.checkpoint import Checkpoint, CheckpointFolder

LOGS = ("metrics", "samples", "timing")
Row = Mapping[str, Any]
Observer = Callable[[dict[str, Any]], None]


class RunFolder:
    """Logs and checkpoints of one stage run; see docs/storage/run-folder.md for the layout."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.observers: list[Observer] = []
        self._checkpoints = CheckpointFolder(path / "checkpoints")

    def metrics(self, row: Row) -> None:
        """Append one line of deterministic numbers to metrics.jsonl and tell every observer."""
        written = self._append("metrics", row)
        for observer in self.observers:
            observer(written)

    def timing(self, row: Row) -> None:
        """Append one line of seconds and bytes to timing.jsonl, which is never hashed."""
        self._append("timing", row)

    def sample(self, row: Row) -> None:
        """Append one line of texts worth a look to samples.jsonl."""
        self._append("samples", row)

    def positions(self) -> dict[str, int]:
        """Size of each log in bytes; a log that does not exist counts as 0."""
        return {name: self._size(name) for name in LOGS}

    def truncate(self, positions: Mapping[str, int]) -> None:
        """Cut the logs back to `positions`, so that lines after the last checkpoint, whole or torn, are gone."""
        for name in LOGS:
            self._cut(name, positions.get(name, 0))

    @contextlib.contextmanager
    def checkpoint_writer(self, step: int, state: Row) -> Iterator[Path]:
        """Yield a folder to fill with safetensors files; it becomes `checkpoints/step-%06d` when the block ends well.

        `state` is read at the end of the block, so it may still change inside. Log positions are kept with it.
        """
        for name in LOGS:
            if self._log(name).exists():
                fsync_path(self._log(name))
        with self._checkpoints.writer(step, state, self.positions()) as folder:
            yield folder

    def last_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint whose files match their hashes; broken and unfinished ones are deleted on the way."""
        return self._checkpoints.last()

    def clear_checkpoints(self) -> None:
        """Delete all checkpoints, once the stage is done."""
        shutil.rmtree(self._checkpoints.path, ignore_errors=True)

    def _log(self, name: str) -> Path:
        return self.path / f"{name}.jsonl"

    def _size(self, name: str) -> int:
        path = self._log(name)
        return path.stat().st_size if path.exists() else 0

    def _append(self, name: str, row: Row) -> dict[str, Any]:
        cleaned = {key: _finite(value) for key, value in row.items()}
        try:
            line = canonical_json(cleaned) + b"\n"
        except (ValueError, TypeError) as error:
            raise UsageError(f"{name} row cannot be written as JSON: {error}; keys {sorted(cleaned)}") from error
        with disk_errors(self._log(name)), self._log(name).open("ab") as file:
            file.write(line)
        return cleaned

    def _cut(self, name: str, size_bytes: int) -> None:
        present = self._size(name)
        if present < size_bytes:
            raise IntegrityError(
                f"{self._log(name)} has {present} bytes, but the checkpoint was taken at {size_bytes}",
                cure="delete this run folder and run the stage again",
            )
        if present > size_bytes:
            os.truncate(self._log(name), size_bytes)


def _finite(value: Any) -> Any:
    """NaN and infinities become null, at any depth: JSON cannot hold them."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
