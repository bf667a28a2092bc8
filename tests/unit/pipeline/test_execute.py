import json
import os
from dataclasses import replace
from pathlib import Path

import fake_stages
import pytest
from fake_stages import make_stage, project_at

from backstay.errors import IntegrityError, ResourceError, UsageError
from backstay.pipeline.events import Event
from backstay.pipeline.execute import execute, preview
from backstay.pipeline.graph import Graph, resolve_graph
from backstay.pipeline.manifest import read_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.run_lock import run_lock
from backstay.pipeline.runs import latest_run
from backstay.pipeline.stage import Stage
from backstay.records import file_sha256

STAGES = (make_stage("first", sections=("sft",)), make_stage("second", "first", run="read_inputs"))


def states(graph: Graph, project: Project, *names: str) -> list[str]:
    runs = execute(graph, project, names or graph.names, lambda event: None)
    return [f"{run.stage} {run.state}" for run in runs]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_at(tmp_path)


def graph_of(*stages: Stage, **settings: object) -> Graph:
    return resolve_graph(Recipe.model_validate(settings), stages or STAGES)


def test_a_second_execution_reuses_everything(project: Project) -> None:
    assert states(graph_of(), project) == ["first finished", "second finished"]
    assert states(graph_of(), project) == ["first reused", "second reused"]


def test_a_changed_setting_runs_what_it_decides_and_nothing_whose_inputs_stay_equal(project: Project) -> None:
    states(graph_of(), project)
    # `first` counts to the same sum whatever sft.seed is, so its outputs differ in config.yaml alone.
    assert states(graph_of(sft={"seed": 9}), project) == ["first finished", "second finished"]
    assert states(graph_of(ppo={"seed": 9}), project) == ["first reused", "second reused"]
    assert states(graph_of(name="other"), project) == ["first reused", "second reused"]


def test_a_changed_input_file_runs_the_stage_again(project: Project) -> None:
    graph = graph_of(replace(STAGES[0], extra_inputs="fake_stages:file_input"))
    (project.root / "extra.txt").write_text("one")
    assert states(graph, project) == ["first finished"]
    (project.root / "extra.txt").write_text("two")
    assert states(graph, project) == ["first finished"]
    (project.root / "extra.txt").write_text("one")
    assert states(graph, project) == ["first reused"]


def test_changed_code_runs_the_stage_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    states(graph_of(), project)
    monkeypatch.setattr("backstay.pipeline.execute.code_digest", lambda packages, run: "other code")
    assert states(graph_of(), project) == ["first finished", "second finished"]


def test_a_changed_library_runs_the_stage_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    states(graph_of(), project)
    monkeypatch.setattr("backstay.pipeline.execute.library_versions", lambda names: {"numpy": "0"})
    assert states(graph_of(), project) == ["first finished", "second finished"]


def test_the_manifest_is_an_in_toto_statement_of_what_was_made_from_what(project: Project) -> None:
    runs = execute(graph_of(), project, ("first", "second"), lambda event: None)
    statement = json.loads((runs[1].folder / "manifest.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    assert subjects == {name: file_sha256(runs[1].folder / name) for name in ("config.yaml", "result.txt")}
    predicate = statement["predicate"]
    first = read_manifest(runs[0].folder)
    assert first is not None
    assert predicate["inputs"] == {"first": {"run": runs[0].folder.name, "sha256": first.digest}}
    assert predicate["parents"] == [runs[0].folder.name]
    assert predicate["libraries"]["no-such-library"] == "absent"
    assert first.predicate["seeds"] == {"sft": Recipe().sft.seed}
    assert first.predicate["key"].startswith(runs[0].folder.name.split("-")[1])
    assert first.predicate["summary"] == {"total": 21, "first_step": 1}
    assert "metrics.jsonl" in first.outputs


def test_nothing_that_decides_or_results_holds_a_clock(tmp_path: Path) -> None:
    folders = []
    for name in ("a", "b"):
        project = project_at(tmp_path / name)
        folders.append([run.folder for run in execute(graph_of(), project, ("first", "second"), lambda event: None)])
    for one, other in zip(*folders, strict=True):
        manifests = read_manifest(one), read_manifest(other)
        assert manifests[0] and manifests[1]
        assert (one.name, manifests[0].outputs) == (other.name, manifests[1].outputs)


def test_numbers_that_json_cannot_hold_become_null_in_the_summary(project: Project) -> None:
    run = execute(graph_of(make_stage("first", run="constant")), project, ("first",), lambda event: None)[0]
    assert run.summary == {"spread": None}


def test_an_output_that_was_changed_is_set_aside_and_made_again(project: Project) -> None:
    first = execute(graph_of(), project, ("first",), lambda event: None)[0].folder
    (first / "result.txt").write_text("forged\n")
    events: list[Event] = []
    runs = execute(graph_of(), project, ("first",), events.append)
    assert runs[0].state == "finished"
    assert (first / "result.txt").read_text() == "21\n"
    assert (first.parent / f".{first.name}.broken-1" / "result.txt").read_text() == "forged\n"
    said = next(event.text for event in events if event.kind == "said")
    assert "result.txt has sha256" in said


@pytest.mark.parametrize("change", ["missing", "added"])
def test_missing_and_added_outputs_break_a_run_too(project: Project, change: str) -> None:
    first = execute(graph_of(), project, ("first",), lambda event: None)[0].folder
    if change == "missing":
        (first / "result.txt").unlink()
    else:
        (first / "extra.txt").write_text("x")
    assert states(graph_of(), project, "first") == ["first finished"]


@pytest.mark.hostile
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"subject": []}', "\x00", '{"subject": 3, "predicate": {}}'])
def test_a_manifest_that_does_not_parse_is_an_integrity_error(project: Project, text: str) -> None:
    first = execute(graph_of(), project, ("first",), lambda event: None)[0].folder
    (first / "manifest.json").write_text(text)
    with pytest.raises(IntegrityError, match="is not a run manifest"):
        states(graph_of(), project)


def test_a_stage_alone_refuses_when_what_it_needs_has_not_run(project: Project) -> None:
    with pytest.raises(UsageError, match="first has not run with these settings") as caught:
        states(graph_of(), project, "second")
    assert "backstay run --until first" in str(caught.value)
    states(graph_of(), project, "first")
    assert states(graph_of(), project, "second") == ["first reused", "second finished"]


def test_a_failed_stage_leaves_no_manifest_and_starts_empty_next_time(project: Project) -> None:
    graph = graph_of(make_stage("first", run="fail"))
    events: list[Event] = []
    with pytest.raises(ValueError, match="told to fail"):
        execute(graph, project, ("first",), events.append)
    folder = project.runs / events[-1].run
    assert events[-1].kind == "failed"
    assert not (folder / "manifest.json").exists()
    assert preview(graph, project, ("first",))[0].state == "resume"
    (folder / "stale.txt").write_text("from before")
    with pytest.raises(ValueError, match="told to fail"):
        execute(graph, project, ("first",), events.append)
    assert not (folder / "stale.txt").exists()


def test_ctrl_c_passes_through_and_what_is_finished_stays(project: Project) -> None:
    graph = graph_of(STAGES[0], make_stage("second", "first", run="interrupt"))
    with pytest.raises(KeyboardInterrupt):
        states(graph, project)
    assert [row.state for row in preview(graph, project, graph.names)] == ["reuse", "resume"]


def test_preview_tells_what_would_happen_and_writes_nothing(project: Project) -> None:
    graph = graph_of()
    assert [row.state for row in preview(graph, project, graph.names)] == ["run", "run"]
    assert [row.state for row in preview(graph, project, ("second",))] == ["missing", "run"]
    assert list(project.runs.iterdir()) == []
    states(graph, project, "first")
    rows = preview(graph, project, graph.names)
    assert [row.state for row in rows] == ["reuse", "run"]
    assert states(graph, project) == ["first reused", "second finished"]
    assert rows[1].run == latest_run(project, "second").name


def test_two_processes_do_not_run_the_same_stage(project: Project) -> None:
    run = preview(graph_of(), project, ("first",))[0].run
    assert run is not None
    with (
        run_lock(project.runs / run, "first"),
        pytest.raises(ResourceError, match=f"being run already, by process {os.getpid()}"),
    ):
        states(graph_of(), project, "first")
    assert states(graph_of(), project, "first") == ["first finished"]


def run_in_child(project: Project, kill_at: str = "") -> int:
    """Execute first and second in a forked process, which kills itself (SIGKILL) at `stage:step`; its exit code."""
    child = os.fork()
    if child == 0:
        os.environ[fake_stages.KILL_VARIABLE] = kill_at
        try:
            states(graph_of(), project)
        except BaseException:  # noqa: BLE001  a forked test must never go on as a second pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.integration
def test_killed_at_any_step_the_stage_goes_on_and_ends_byte_for_byte_the_same(tmp_path: Path) -> None:
    whole = project_at(tmp_path / "whole")
    assert run_in_child(whole) == 0
    expected = read_manifest(latest_run(whole, "first").path)
    for step in range(1, fake_stages.STEPS + 1):
        broken = project_at(tmp_path / f"killed-{step}")
        assert run_in_child(broken, f"first:{step}") == -9
        assert run_in_child(broken) == 0
        found = read_manifest(latest_run(broken, "first").path)
        assert expected and found
        assert found.outputs == expected.outputs
        assert found.predicate["summary"]["first_step"] == step
        assert found.predicate["resumed"] == (step > 1)
        assert not (latest_run(broken, "first").path / "checkpoints").exists()


def test_fresh_ignores_checkpoints(project: Project) -> None:
    assert run_in_child(project, "first:4") == -9
    graph = graph_of()
    assert preview(graph, project, graph.names)[0].state == "resume"
    runs = execute(graph, project, graph.names, lambda event: None, resume=False)
    assert runs[0].summary["first_step"] == 1
