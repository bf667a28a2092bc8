"""Settings of trackers: where else metrics are shown. They decide nothing about results."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.records import Settings


class TrackingSettings(Settings):
    """Metrics of every stage to a tracker, besides metrics.jsonl; never part of a run's key."""

    tracker: Literal["none", "tensorboard", "trackio", "wandb", "mlflow"] = "none"
    """Who gets metrics and settings. `none` = nobody. `wandb` sends them over the network, and `trackio` and `mlflow`
    do when their own variables name a server."""
    project: str = "backstay"
    """The project in the tracker."""
    folder: str = ""
    """Where a tracker that writes files puts them, relative to the project folder; empty = `.backstay/tracking`."""
    queue: Annotated[int, Field(ge=1)] = 1000
    """Rows that may wait for a slow tracker; further ones are dropped and counted."""
    finish_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """Seconds that a tracker has at the end of a stage to take what waits; what is left is dropped and counted."""
