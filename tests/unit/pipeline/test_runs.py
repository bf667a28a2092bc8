from pathlib import Path

import pytest
from fake_stages import make_stage, project_at

from backstay.errors import UsageError
from backstay.pipeline.execute import execute
from backstay.pipeline.graph import resolve_graph
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.runs import latest_pointers, latest_run, list_runs, resolve_run

STAGE = make_stage("first", sections=("sft",))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_at(tmp_path)


def run_with_seed(project: Project, seed: int) -> Path:
    graph = resolve_graph(Recipe.model_validate({"sft": {"seed": seed}}), (STAGE,))
    return execute(graph, project, ("first",), lambda event: None)[0].folder


def test_the_latest_run_is_the_one_executed_last_even_when_it_was_reused(project: Project) -> None:
    one, two = run_with_seed(project, 1), run_with_seed(project, 2)
    assert latest_run(project, "first").path == two
    assert run_with_seed(project, 1) == one
    assert latest_run(project, "first").path == one
    assert latest_pointers(project) == {"first": one.name}


@pytest.mark.hostile
@pytest.mark.parametrize("text", ["", "[]", "{", '{"first": "gone-000000000000"}', '{"first": "../../etc"}'])
def test_a_broken_pointer_falls_back_to_the_newest_run(project: Project, text: str) -> None:
    folder = run_with_seed(project, 1)
    (project.state / "latest.json").write_text(text)
    assert latest_run(project, "first").path == folder


def test_a_run_is_named_by_folder_name_beginning_or_stage(project: Project) -> None:
    folder = run_with_seed(project, 1)
    other = run_with_seed(project, 2)
    for text in (str(folder), folder.name, folder.name[:10]):
        assert resolve_run(project, text).path == folder
    assert resolve_run(project, "first").path == other
    with pytest.raises(UsageError, match=f"could be any of .*{folder.name}"):
        resolve_run(project, "first-")
    with pytest.raises(UsageError, match="no run 'second'; there are: first-"):
        resolve_run(project, "second")


def test_no_run_names_the_command_that_makes_one(project: Project) -> None:
    assert list_runs(project) == []
    with pytest.raises(UsageError, match="backstay run --until ppo"):
        latest_run(project, "ppo")


def test_unfinished_runs_and_other_folders_are_told_apart(project: Project) -> None:
    folder = run_with_seed(project, 1)
    (project.runs / "ppo-0123456789ab").mkdir()
    (project.runs / ".ppo-0123456789ab.broken-1").mkdir()
    (project.runs / "notes").mkdir()
    assert [(run.name, bool(run.manifest)) for run in list_runs(project)] == [
        (folder.name, True),
        ("ppo-0123456789ab", False),
    ]
