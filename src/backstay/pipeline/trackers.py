"""Trackers behind one small interface: TensorBoard, trackio, wandb and mlflow.

An adapter may raise or hang wherever it likes: `tracking.BackgroundTracker` keeps that away from training.
"""

import importlib
import importlib.util
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from backstay.errors import UsageError
from backstay.learn.rewards.reward_address import without_secrets
from backstay.pipeline.tracking_settings import TrackingSettings

Row = Mapping[str, Any]


class Tracker(Protocol):
    """Somewhere that metrics of one run of a stage can be looked at."""

    def start(self, name: str, settings: Row) -> None:
        """Open a run; `settings` is plain data, nested."""

    def log(self, step: int, row: Row) -> None:
        """Take the numbers of one row of metrics."""

    def finish(self, status: str) -> None:
        """Close the run; `status` is `finished` or `failed`."""


def numbers(row: Row) -> dict[str, float]:
    """What of a row a chart can show: finite numbers and truth values, by name."""
    plain = {name: float(value) for name, value in row.items() if isinstance(value, bool | int | float)}
    return {name: value for name, value in plain.items() if math.isfinite(value)}


def flat(settings: Row, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def presentable(value: Any) -> Any:
    """Settings without what may be a key: addresses lose user and query."""
    if isinstance(value, Mapping):
        return {name: presentable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [presentable(inner) for inner in value]
    return without_secrets(value) if isinstance(value, str) else value


class TensorBoard:
    """Event files that TensorBoard reads, a folder a run; needs no TensorFlow and no torch."""

    def __init__(self, _project: str, folder: Path) -> None:
        self.folder = folder
        self.events: Any = None
        self.writer: Any = None

    def start(self, name: str, settings: Row) -> None:
        """Open an event file; settings become one text."""
        self.events = importlib.import_module("tensorboard.compat.proto.event_pb2")
        module = importlib.import_module("tensorboard.summary.writer.event_file_writer")
        self.writer = module.EventFileWriter(str(self.folder / name))
        lines = [f"    {key}: {value}" for key, value in flat(settings).items()]
        self._write(0, [_text_value("settings", "\n".join(lines))])

    def log(self, step: int, row: Row) -> None:
        """One scalar a number."""
        value = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary.Value
        self._write(step, [value(tag=name, simple_value=number) for name, number in numbers(row).items()])
        self.writer.flush()

    def finish(self, status: str) -> None:
        """Note how it ended, and close the file."""
        self._write(0, [_text_value("status", status)])
        self.writer.close()

    def _write(self, step: int, values: list[Any]) -> None:
        summary = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary(value=values)
        self.writer.add_event(self.events.Event(wall_time=time.time(), step=step, summary=summary))


def _text_value(tag: str, text: str) -> Any:
    summary = importlib.import_module("tensorboard.compat.proto.summary_pb2")
    tensor = importlib.import_module("tensorboard.compat.proto.tensor_pb2").TensorProto
    types = importlib.import_module("tensorboard.compat.proto.types_pb2")
    shape = importlib.import_module("tensorboard.compat.proto.tensor_shape_pb2").TensorShapeProto()
    plugin = summary.SummaryMetadata.PluginData(plugin_name="text")
    return summary.Summary.Value(
        tag=tag,
        metadata=summary.SummaryMetadata(plugin_data=plugin, data_class=summary.DATA_CLASS_TENSOR),
        tensor=tensor(dtype=types.DT_STRING, string_val=[text.encode()], tensor_shape=shape),
    )


class Trackio:
    """A local dashboard, kept where trackio keeps it."""

    def __init__(self, project: str, _folder: Path) -> None:
        self.project = project
        self.run: Any = None

    def start(self, name: str, settings: Row) -> None:
        """Open a run."""
        self.run = importlib.import_module("trackio").init(project=self.project, name=name, config=flat(settings))

    def log(self, step: int, row: Row) -> None:
        """One row."""
        self.run.log(numbers(row), step=step)

    def finish(self, _status: str) -> None:
        """Close the run; trackio has no word for how it ended."""
        self.run.finish()


class Wandb:
    """Weights & Biases; what it sends where is decided by its own variables, such as WANDB_MODE."""

    def __init__(self, project: str, folder: Path) -> None:
        self.project, self.folder = project, folder
        self.run: Any = None

    def start(self, name: str, settings: Row) -> None:
        """Open a run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run = importlib.import_module("wandb").init(
            project=self.project, name=name, config=dict(settings), dir=str(self.folder), reinit="create_new"
        )

    def log(self, step: int, row: Row) -> None:
        """One row."""
        self.run.log(numbers(row), step=step)

    def finish(self, status: str) -> None:
        """Close the run."""
        self.run.finish(exit_code=0 if status == "finished" else 1)


class Mlflow:
    """MLflow; without MLFLOW_TRACKING_URI into a SQLite file in the folder."""

    def __init__(self, project: str, folder: Path) -> None:
        self.project, self.folder = project, folder
        self.client: Any = None
        self.run_id = ""
        self.metric: Callable[..., Any]

    def start(self, name: str, settings: Row) -> None:
        """Open a run; settings become parameters."""
        mlflow = importlib.import_module("mlflow")
        entities = importlib.import_module("mlflow.entities")
        self.client, self.metric = mlflow.MlflowClient(tracking_uri=self._address()), entities.Metric
        found = self.client.get_experiment_by_name(self.project)
        experiment = self.client.create_experiment(self.project) if found is None else found.experiment_id
        self.run_id = self.client.create_run(experiment, run_name=name).info.run_id
        params = [entities.Param(key, str(value)[:500]) for key, value in flat(settings).items()]
        for start in range(0, len(params), 100):  # the most that a server takes at once
            self.client.log_batch(self.run_id, params=params[start : start + 100])

    def log(self, step: int, row: Row) -> None:
        """One batch a row."""
        now = int(time.time() * 1000)
        metrics = [self.metric(name, value, now, step) for name, value in numbers(row).items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def finish(self, status: str) -> None:
        """Close the run."""
        self.client.set_terminated(self.run_id, status.upper())

    def _address(self) -> str | None:
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{self.folder / 'mlflow.db'}"


ADAPTERS: dict[str, tuple[str, Callable[[str, Path], Tracker]]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "trackio": ("trackio", Trackio),
    "wandb": ("wandb", Wandb),
    "mlflow": ("mlflow", Mlflow),
}
"""Tracker to the module that it needs and its adapter; extras in pyproject.toml have the same names."""


def make_tracker(settings: TrackingSettings, folder: Path) -> Tracker | None:
    """The tracker of the settings, not started yet, or None; raises UsageError when its library is missing."""
    if settings.tracker == "none":
        return None
    module, adapter = ADAPTERS[settings.tracker]
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"tracking.tracker is {settings.tracker}, but {module} is not installed",
            cure=f"pip install 'backstay[{settings.tracker}]', or set tracking.tracker=none",
        )
    return adapter(settings.project, folder)
