"""A ranking that was adjudicated is one audit for each two responses of which one is better."""

import itertools
import json
from pathlib import Path

from collection_world import World

from backstay.feedback.collection import ProjectSettings, create_project, fill_page
from backstay.feedback.collection.adjudicating import adjudicate, open_dispute
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.submission import Answer
from backstay.records import Message, Prompt, Response, Task
from backstay.storage import open_database
from backstay.storage.decisions import with_gold

REVIEWER = Decider("acc-rev")


def test_a_ranking_of_four_gives_its_pairs_and_leaves_ties_out(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "four.db", create=True)
    world = World(engine)
    prompt = Prompt.make((Message(role="user", content="Which?"),), source="made")
    rows = [Response.make(prompt.id, f"Answer {n}", policy="m") for n in range(4)]
    with world.repository.batch() as batch:
        batch.add_prompts("d", [prompt])
        batch.add_responses("d", rows)
        batch.add_tasks("d", [Task.make(prompt.id, tuple(row.id for row in rows))])
    project = world.do(lambda u: create_project(u, "p", "P", "d", ProjectSettings(votes=1, most_votes=1), "lead"))
    world.do(lambda unit: fill_page(unit, project))
    item_id = world.do(lambda u: u.connection.exec_driver_sql("SELECT id FROM items").scalar_one())
    world.do(lambda u: u.connection.exec_driver_sql("UPDATE items SET state = 'done'"))
    world.do(lambda unit: open_dispute(unit, project, item_id, REVIEWER, "decide it"))
    answer = Answer(dimension="overall", ranking=((2,), (0, 3), (1,)))
    world.do(lambda unit: adjudicate(unit, project, item_id, REVIEWER, 0, [answer], "so"))
    with engine.connect() as connection:
        choice = json.loads(connection.exec_driver_sql("SELECT choice FROM adjudications").scalar_one())
    rank = {rows[index].id: place for place, group in enumerate(choice["ranking"]) for index in group}
    wanted = {
        (frozenset((a, b)), a if rank[a] < rank[b] else b)
        for a, b in itertools.combinations(rank, 2)
        if rank[a] != rank[b]
    }
    audits = world.repository.audits("d")
    assert {(frozenset((audit.a, audit.b)), audit.winner) for audit in audits} == wanted and len(audits) == 5
    assert world.repository.audits("other") == []
    engine.dispose()


def test_gold_is_laid_over_the_tasks_that_were_decided_and_over_no_other() -> None:
    tasks = [Task.make("p", ("a", name), gold=gold) for name, gold in (("b", 0), ("c", None), ("d", 1))]
    changed = with_gold(tasks, {tasks[0].id: None, tasks[1].id: 1, "unknown": 0})
    assert [task.gold for task in changed] == [None, 1, 1] and [task.id for task in changed] == [t.id for t in tasks]
    assert changed[2] is tasks[2]
