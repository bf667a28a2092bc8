from pathlib import Path

import pytest
from fake_stages import loop_with_fake_answers, project_at

from backstay.errors import UsageError
from backstay.feedback import rater_kinds
from backstay.feedback.importing import import_into, read_hh_rlhf
from backstay.pipeline.execute import StageRun, execute
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.records import Judgment, Rater, RaterTrust, Response, Task, file_sha256
from backstay.storage import Store, read_records

pytestmark = pytest.mark.integration
SMALL = Recipe.model_validate({"rate": {"pairs_per_prompt": 1, "judgments_per_task": 5, "gold_share": 0.3}})


def run(project: Project, recipe: Recipe, until: str) -> dict[str, StageRun]:
    graph = loop_with_fake_answers(recipe, until)
    return {item.stage: item for item in execute(graph, project, graph.names, lambda event: None)}


@pytest.fixture(scope="module")
def aggregated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, StageRun]]:
    project = project_at(tmp_path_factory.mktemp("project"))
    return project, run(project, SMALL, "aggregate")


def test_the_snapshot_is_what_the_store_holds(aggregated: tuple[Project, dict[str, StageRun]]) -> None:
    project, runs = aggregated
    folder, dataset = runs["rate"].folder, runs["rate"].summary["dataset"]
    judgments = read_records(folder / "judgments.jsonl", Judgment)
    with Store(project.root) as store:
        stored = store.repository.judgments(dataset)
        assert store.verify().ok
    assert [row.model_copy(update={"hash": "", "prev_hash": ""}) for row in stored] == judgments
    assert all(row.hash for row in stored)
    assert all(rater.simulated for rater in read_records(folder / "raters.jsonl", Rater))
    tasks = read_records(folder / "tasks.jsonl", Task)
    assert len(judgments) == 5 * len(tasks)
    assert runs["rate"].summary["gold_set"] == sum(task.gold is not None for task in tasks) > 0


def test_liars_are_found_from_their_judgments_alone(aggregated: tuple[Project, dict[str, StageRun]]) -> None:
    _, runs = aggregated
    trust = read_records(runs["aggregate"].folder / "trust.jsonl", RaterTrust)
    kinds = rater_kinds(SMALL.rate)
    liars = {rater for rater, kind in kinds.items() if kind in ("flipping", "colluding")}
    least = sorted(trust, key=lambda row: row.trust)[: len(liars)]
    assert {row.rater_id for row in least} == liars
    assert {kinds[rater] for rater in liars} == {"flipping", "colluding"}


def test_another_project_makes_the_same_files(aggregated: tuple[Project, dict[str, StageRun]], tmp_path: Path) -> None:
    _, first = aggregated
    again = run(project_at(tmp_path), SMALL, "aggregate")
    for stage in ("rate", "aggregate"):
        assert again[stage].folder.name == first[stage].folder.name
        for path in first[stage].folder.glob("*.json*"):
            if path.name != "manifest.json":
                assert file_sha256(path) == file_sha256(again[stage].folder / path.name), path.name


def test_rating_again_adds_nothing_to_the_store(aggregated: tuple[Project, dict[str, StageRun]]) -> None:
    project, runs = aggregated
    with Store(project.root) as store:
        before = store.repository.datasets()
    (runs["rate"].folder / "manifest.json").unlink()
    assert run(project, SMALL, "aggregate")["rate"].state == "finished"
    with Store(project.root) as store:
        assert store.repository.datasets() == before


def test_an_imported_data_set_is_rated_by_what_was_imported(tmp_path: Path) -> None:
    project = project_at(tmp_path / "project")
    recipe = Recipe.model_validate({"rate": {"source": "dataset", "dataset": "pairs"}, "demonstrations": "preferred"})
    with Store(project.root, create=True), pytest.raises(UsageError, match="no data set 'pairs' is stored"):
        run(project, recipe, "aggregate")
    import_pairs(project, tmp_path / "one.jsonl", "one")
    first = run(project, recipe, "aggregate")
    responses = read_records(first["rate"].folder / "responses.jsonl", Response)
    assert sorted(response.text for response in responses) == ["bad one", "good one"]
    assert run(project, recipe, "aggregate")["rate"].state == "reused"
    import_pairs(project, tmp_path / "two.jsonl", "two")
    assert run(project, recipe, "aggregate")["rate"].state == "finished"


def import_pairs(project: Project, path: Path, word: str) -> None:
    dialogue = f"\\n\\nHuman: tell me {word}\\n\\nAssistant:"
    path.write_text(f'{{"chosen": "{dialogue} good {word}", "rejected": "{dialogue} bad {word}"}}\n')
    with Store(project.root) as store:
        import_into(store, read_hh_rlhf(path, dataset="pairs"))
