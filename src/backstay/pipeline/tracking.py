"""Keeps trackers away from training: they work in a thread of their own, and their failures are counted, not raised."""

import functools
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from backstay.errors import UsageError
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.trackers import Tracker, make_tracker, presentable

Row = Mapping[str, Any]
Say = Callable[[str], None]
STEP_KEYS = ("step", "update")
POLL_S = 0.05


class BackgroundTracker:
    """One run in a tracker, fed through a bounded queue from a daemon thread.

    Whatever the tracker raises is said once, on the thread of training; rows that it did not take are counted and said
    at the end. A tracker that hangs is left alone after `finish_timeout_s`.
    """

    def __init__(self, tracker: Tracker, name: str, settings: Row, say: Say, *, size: int, timeout_s: float) -> None:
        self.tracker, self.say, self.timeout_s = tracker, say, timeout_s
        self.rows, self.logged = 0, 0
        self.problem = ""
        self._told = False
        self._closing, self._status = threading.Event(), "finished"
        self._waiting: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue(maxsize=size)
        self._thread = threading.Thread(
            target=self._work, args=(name, presentable(settings)), name="backstay-tracker", daemon=True
        )
        self._thread.start()

    def log(self, row: Row) -> None:
        """Hand over a row; never waits, never raises."""
        self.rows += 1
        step = next((row[key] for key in STEP_KEYS if isinstance(row.get(key), int)), self.rows)
        try:
            self._waiting.put_nowait((int(step), dict(row)))
        except queue.Full:
            self._failed("too slow: its queue is full")
        self._tell()

    def finish(self, status: str) -> None:
        """Wait for what is queued, at most `finish_timeout_s`; then say what was lost."""
        self._status = status
        self._closing.set()
        self._thread.join(self.timeout_s)
        if self._thread.is_alive():
            self._failed(f"still at work after {self.timeout_s:g} s")
        self._tell()
        lost = self.rows - self.logged
        if lost:
            self.say(f"tracking: {lost} of {self.rows} rows did not reach the tracker; metrics.jsonl holds them all")

    def _work(self, name: str, settings: Row) -> None:
        if not self._try(lambda: self.tracker.start(name, settings)):
            return
        while True:
            last_look = self._closing.is_set()
            try:
                step, row = self._waiting.get(timeout=POLL_S)
            except queue.Empty:
                if last_look:
                    break
                continue
            self.logged += self._try(functools.partial(self.tracker.log, step, row))
        self._try(lambda: self.tracker.finish(self._status))

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  wandb and others raise SystemExit and errors of their own
            self._failed(f"{type(error).__name__}: {error}")
            return False
        return True

    def _failed(self, problem: str) -> None:
        self.problem = self.problem or " ".join(problem.split())[:200]

    def _tell(self) -> None:
        """Once, and on the thread of training: what shows progress is not made for two."""
        if self.problem and not self._told:
            self._told = True
            self.say(f"tracking: {type(self.tracker).__name__} failed ({self.problem}); training goes on without it")


def check_tracking(recipe: Recipe, project: Project) -> None:
    """Raise UsageError now, rather than in the middle, when the recipe names a tracker that is not installed."""
    make_tracker(recipe.tracking, project.root)


def start_tracking(recipe: Recipe, project: Project, name: str, settings: Row, say: Say) -> BackgroundTracker | None:
    """A tracker for one run of a stage, or None when the recipe names none or it could not be made."""
    chosen = recipe.tracking
    folder = project.root / chosen.folder if chosen.folder else project.state / "tracking"
    try:
        tracker = make_tracker(chosen, folder)
    except UsageError as error:
        say(f"tracking: {error.message}; training goes on without it")
        return None
    if tracker is None:
        return None
    return BackgroundTracker(tracker, name, settings, say, size=chosen.queue, timeout_s=chosen.finish_timeout_s)
