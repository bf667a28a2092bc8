"""What people decide in the console is in the next run: an adjudication settles its pair, and gold is in the tasks."""

import json
from pathlib import Path

import pytest
from collection_world import World, fill_dataset
from fake_stages import loop_with_fake_answers, project_at

from backstay.errors import UsageError
from backstay.feedback.collection import ProjectSettings, create_project, fill_page
from backstay.feedback.collection.adjudicating import adjudicate, dispute_of
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.gold_keeping import confirm_gold, propose_gold
from backstay.feedback.collection.submission import Answer
from backstay.pipeline.execute import StageRun, execute
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.records import Audit, Pair, Task
from backstay.storage import Store, read_records

pytestmark = pytest.mark.integration
SPLIT = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2)
RECIPE = {"rate": {"source": "dataset", "dataset": "d"}, "demonstrations": "preferred"}


def run(project: Project, **aggregate: str) -> dict[str, StageRun]:
    graph = loop_with_fake_answers(Recipe.model_validate(RECIPE | {"aggregate": aggregate}), "aggregate")
    return {item.stage: item for item in execute(graph, project, graph.names, lambda event: None)}


def rated(project: Project) -> tuple[World, str]:
    """A console on the project's database in which two raters contradict each other on every item; one item's id."""
    store = Store(project.root, create=True, seal=False)
    fill_dataset(store.repository, 6)
    found = World(store.engine)
    made = found.do(lambda unit: create_project(unit, "p", "Project", "d", SPLIT, "lead"))
    found.do(lambda unit: fill_page(unit, made))
    for rater, winner in (("ann", 0), ("ben", 1)):
        for _ in range(6):
            found.judge(rater, winner)
    with store.engine.connect() as connection:
        return found, str(connection.exec_driver_sql("SELECT id FROM items ORDER BY id LIMIT 1").scalar())


def test_an_adjudication_settles_its_pair_in_the_next_run(tmp_path: Path) -> None:
    project = project_at(tmp_path / "project")
    world, item_id = rated(project)
    before = run(project)
    assert not (before["rate"].folder / "audits.jsonl").exists()
    assert all(abs(pair.p_a - 0.5) < 0.2 for pair in read_records(before["aggregate"].folder / "pairs.jsonl", Pair))
    reviewer = Decider("acc-rev")
    with world.engine.connect() as connection:
        dispute = dispute_of(connection, world.project, item_id, reviewer)
    place = dispute.order.index(1)
    answers = [Answer(dimension="overall", ranking=((place,), (1 - place,)))]
    world.do(lambda unit: adjudicate(unit, world.project, item_id, reviewer, 0, answers, "right"))
    after = run(project)
    assert after["rate"].state == "finished" and after["rate"].summary["adjudicated_pairs"] == 1
    (audit,) = read_records(after["rate"].folder / "audits.jsonl", Audit)
    pairs = {
        tuple(sorted((pair.a, pair.b))): pair for pair in read_records(after["aggregate"].folder / "pairs.jsonl", Pair)
    }
    settled = pairs[tuple(sorted(dispute.item.response_ids))]
    best = dispute.item.response_ids[1]
    assert audit.winner == best and (settled.p_a if settled.a == best else 1 - settled.p_a) > 0.9
    assert run(project)["rate"].state == "reused"
    path = project.root / "answers.jsonl"
    path.write_text(
        json.dumps({"prompt_id": audit.prompt_id, "a": best, "b": dispute.item.response_ids[0], "better": "b"})
    )
    with pytest.raises(UsageError, match="the console does not"):
        run(project, audits="answers.jsonl")


def test_gold_of_the_console_is_in_the_tasks_of_the_next_run(tmp_path: Path) -> None:
    project = project_at(tmp_path / "project")
    world, item_id = rated(project)
    first = run(project)["rate"]
    made = world.do(
        lambda unit: propose_gold(unit, world.project, item_id, "overall", "set", 1, Decider("one"), "beyond doubt")
    )
    assert run(project)["rate"].state == "reused"
    world.do(lambda unit: confirm_gold(unit, made, Decider("two"), "yes"))
    second = run(project)["rate"]
    golds = [[task.gold for task in read_records(r.folder / "tasks.jsonl", Task)] for r in (first, second)]
    assert golds[0] == [None] * 6 and sorted(golds[1], key=str) == [1, *[None] * 5]
