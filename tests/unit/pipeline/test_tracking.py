import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_stages import STEPS, make_stage, project_at

from backstay.errors import UsageError
from backstay.pipeline.execute import execute
from backstay.pipeline.graph import resolve_graph
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.trackers import ADAPTERS, TensorBoard, flat, make_tracker, numbers, presentable
from backstay.pipeline.tracking import BackgroundTracker
from backstay.pipeline.tracking_settings import TrackingSettings


class Notes:
    """A tracker that keeps what it is told, and fails or waits where a test wants it to."""

    def __init__(self, fail_in: str = "", wait_in: str = "", gate: threading.Event | None = None) -> None:
        self.fail_in, self.wait_in, self.gate = fail_in, wait_in, gate
        self.calls: list[tuple[str, Any, Any]] = []

    def _at(self, place: str, first: Any, second: Any = None) -> None:
        if place == self.wait_in and self.gate is not None:
            self.gate.wait(10)
        if place == self.fail_in:
            raise OSError(f"cannot {place}\nat all")
        self.calls.append((place, first, second))

    def start(self, name: str, settings: Any) -> None:
        self._at("start", name, settings)

    def log(self, step: int, row: Any) -> None:
        self._at("log", step, row)

    def finish(self, status: str) -> None:
        self._at("finish", status)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def background(tracker: Notes, said: list[str], size: int = 100, timeout_s: float = 5.0) -> BackgroundTracker:
    return BackgroundTracker(tracker, "ppo-1", {"seed": 3}, said.append, size=size, timeout_s=timeout_s)


def test_rows_arrive_in_order_with_their_steps() -> None:
    notes, said = Notes(), list[str]()
    tracked = background(notes, said)
    for row in ({"update": 0, "a": 1.0}, {"step": 7, "update": 1}, {"b": 2}):
        tracked.log(row)
    tracked.finish("finished")
    assert notes.calls == [
        ("start", "ppo-1", {"seed": 3}),
        ("log", 0, {"update": 0, "a": 1.0}),
        ("log", 7, {"step": 7, "update": 1}),
        ("log", 3, {"b": 2}),
        ("finish", "finished", None),
    ]
    assert said == []


@pytest.mark.parametrize(("place", "lost"), [("start", 4), ("log", 4), ("finish", 0)])
def test_a_tracker_that_raises_is_said_once_and_counted(place: str, lost: int) -> None:
    said: list[str] = []
    tracked = background(Notes(fail_in=place), said)
    for step in range(4):
        tracked.log({"step": step})
    tracked.finish("failed")
    assert said[0] == f"tracking: Notes failed (OSError: cannot {place} at all); training goes on without it"
    ends = [f"tracking: {lost} of 4 rows did not reach the tracker; metrics.jsonl holds them all"] if lost else []
    assert said[1:] == ends


@pytest.mark.parametrize("place", ["start", "log", "finish"])
def test_a_tracker_that_hangs_is_left_alone(place: str, gate: threading.Event) -> None:
    said: list[str] = []
    tracked = background(Notes(wait_in=place, gate=gate), said, timeout_s=0.1)
    tracked.log({"step": 1})
    tracked.finish("finished")
    assert "still at work after 0.1 s" in said[0]
    assert len(said) == (1 if place == "finish" else 2)


def test_a_full_queue_drops_rows_and_counts_them(gate: threading.Event) -> None:
    notes, said = Notes(wait_in="start", gate=gate), list[str]()
    tracked = background(notes, said, size=3)
    for step in range(10):
        tracked.log({"step": step})
    assert said == ["tracking: Notes failed (too slow: its queue is full); training goes on without it"]
    gate.set()
    tracked.finish("finished")
    assert [step for place, step, _ in notes.calls if place == "log"] == [0, 1, 2]
    assert said[1:] == ["tracking: 7 of 10 rows did not reach the tracker; metrics.jsonl holds them all"]


def test_only_finite_numbers_are_shown() -> None:
    row = {"a": 1, "b": 2.5, "c": True, "d": None, "e": "x", "f": [1], "g": float("inf")}
    assert numbers(row) == {"a": 1.0, "b": 2.5, "c": 1.0}


def test_settings_are_flattened() -> None:
    assert flat({"ppo": {"seed": 3, "x": {"y": None}}, "name": "n"}) == {"ppo.seed": 3, "ppo.x.y": None, "name": "n"}


def test_keys_in_addresses_do_not_reach_a_tracker() -> None:
    notes = Notes()
    settings = {
        "ppo": {"reward": "https://me:word@example.org:8443/s?key=secret", "other": ["HTTP://h/?key=secret", 3]}
    }
    BackgroundTracker(notes, "ppo-1", settings, list[str]().append, size=1, timeout_s=5.0).finish("finished")
    expected = {"ppo": {"reward": "https://example.org:8443/s", "other": ["http://h/", 3]}}
    assert notes.calls[0] == ("start", "ppo-1", expected)
    assert settings["ppo"]["reward"] == "https://me:word@example.org:8443/s?key=secret"
    assert presentable("https://[half?key=secret") == "https://…"


def test_no_tracker_is_no_tracker(tmp_path: Path) -> None:
    assert make_tracker(TrackingSettings(), tmp_path) is None


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_a_library_that_is_missing_is_named_with_its_cure_before_anything_runs(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    events: list[Any] = []
    recipe = Recipe(tracking=TrackingSettings(tracker=name))
    graph = resolve_graph(recipe, (make_stage("a"),), ("a",))
    with pytest.raises(UsageError, match=rf"tracking.tracker is {name}") as caught:
        execute(graph, project_at(tmp_path / "p"), graph.names, events.append)
    assert f"pip install 'backstay[{name}]'" in str(caught.value) and not events


def test_every_tracker_has_an_extra_of_its_name() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for name, (module, _) in ADAPTERS.items():
        needed = {entry.partition(">")[0] for entry in project["optional-dependencies"][name]}
        assert needed & {module, f"{module}-skinny"}


def fake_trackio(calls: list[Any]) -> ModuleType:
    module: Any = ModuleType("trackio")

    class Run:
        def log(self, row: Any, step: int) -> None:
            calls.append(("log", step, row))

        def finish(self) -> None:
            calls.append(("finish",))

    def init(**options: Any) -> Run:
        calls.append(("init", options["project"], options["name"], options["config"]))
        return Run()

    module.init = init
    module.__spec__ = object()
    return module  # type: ignore[no-any-return]  # attributes are set on a module on purpose


def test_a_run_is_tracked_and_its_key_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "trackio", fake_trackio(calls))
    runs = []
    for folder, recipe in (("plain", Recipe()), ("tracked", Recipe(tracking=TrackingSettings(tracker="trackio")))):
        graph = resolve_graph(recipe, (make_stage("a", sections=("name",)),), ("a",))
        (run,) = execute(graph, project_at(tmp_path / folder), graph.names, lambda _event: None)
        runs.append(run)
    assert runs[0].folder.name == runs[1].folder.name
    files = [{p.name: p.read_bytes() for p in run.folder.iterdir() if p.name != "manifest.json"} for run in runs]
    assert files[0] == files[1]
    total = [sum(range(1, step + 1)) for step in range(1, STEPS + 1)]
    assert calls[0] == ("init", "backstay", runs[1].folder.name, {"name": "backstay"})
    assert [(step, row["total"]) for kind, step, row in calls[1:-1]] == list(enumerate(total, 1))
    assert calls[-1] == ("finish",)


def test_a_stage_that_fails_closes_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Notes] = []

    def adapter(_project: str, _folder: Path) -> Notes:
        made.append(Notes())
        return made[-1]

    monkeypatch.setitem(ADAPTERS, "trackio", ("json", adapter))
    recipe = Recipe(tracking=TrackingSettings(tracker="trackio"))
    graph = resolve_graph(recipe, (make_stage("a", run="fail"),), ("a",))
    with pytest.raises(ValueError, match="told to fail"):
        execute(graph, project_at(tmp_path / "p"), graph.names, lambda _event: None)
    assert made[-1].calls[-1] == ("finish", "failed", None)


def test_training_goes_on_when_its_tracker_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTERS, "wandb", ("json", lambda _project, _folder: Notes(fail_in="start")))
    said: list[str] = []
    graph = resolve_graph(Recipe(tracking=TrackingSettings(tracker="wandb")), (make_stage("a"),), ("a",))
    (run,) = execute(graph, project_at(tmp_path / "p"), graph.names, lambda e: said.append(e.text))
    assert run.state == "finished" and len((run.folder / "metrics.jsonl").read_text().splitlines()) == STEPS
    assert sum("Notes failed" in text for text in said) == 1
    assert sum(f"{STEPS} of {STEPS} rows did not reach" in text for text in said) == 1


def test_real_event_files_hold_the_numbers(tmp_path: Path) -> None:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    board = TensorBoard("backstay", tmp_path)
    board.start("ppo-1", {"ppo": {"seed": 3}})
    for step in range(4):
        board.log(step, {"loss": 2.0**-step, "note": "x", "none": None})
    board.finish("finished")
    events = accumulators.EventAccumulator(str(tmp_path / "ppo-1"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(s, 2.0**-s) for s in range(4)]
    assert sorted(events.Tags()["tensors"]) == ["settings", "status"]
    assert json.dumps(events.Tags()["scalars"]) == '["loss"]'
