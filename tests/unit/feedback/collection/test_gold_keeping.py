"""Gold changes by two people only, marks raters again, and is what every reader of tasks sees."""

import json
from pathlib import Path

import pytest
from collection_world import World, world

from backstay.feedback.collection import ProjectSettings, Rejected, create_project, fill_page, stats_of
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.gold_keeping import (
    Step,
    confirm_gold,
    gold_at,
    gold_list,
    propose_gold,
    refuse_gold,
)
from backstay.feedback.collection.proposing import Proposal, proposal_of, proposals_of, withdraw
from backstay.storage.journal import read_entries

ONE, TWO = Decider("acc-one", "r-one"), Decider("acc-two", "r-two")
PLAIN = ProjectSettings(gold_share=0.0, repeat_share=0.0)


def items_of(found: World) -> list[tuple[str, str]]:
    """Items and the ids of their tasks, those with gold first."""
    with found.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, task_ids FROM items ORDER BY id").all()
        gold = {row.item_id for row in gold_list(connection, "p")}
    named = [(row[0], json.loads(row[1])["overall"]) for row in rows]
    return sorted(named, key=lambda pair: pair[0] not in gold)


def proposed(found: World, item_id: str, step: Step, best: int | None = None, who: Decider = ONE) -> Proposal:
    return found.do(lambda unit: propose_gold(unit, found.project, item_id, "overall", step, best, who, "it is clear"))


def confirmed(found: World, proposal: Proposal, who: Decider = TWO) -> Proposal:
    return found.do(lambda unit: confirm_gold(unit, proposal_of(unit.connection, proposal.id), who, "I agree"))


def gold_of_task(found: World, task_id: str) -> int | None:
    return {task.id: task.gold for task in found.repository.tasks("d")}[task_id]


def test_new_gold_is_set_by_a_second_person_and_tasks_have_it(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        ((item_id, task_id),) = items_of(found)
        digest = found.repository.dataset_digest("d")
        proposal = proposed(found, item_id, "set", 1)
        assert gold_of_task(found, task_id) is None and found.repository.dataset_digest("d") == digest
        with pytest.raises(Rejected, match="somebody else than its proposer"):
            confirmed(found, proposal, ONE)
        assert gold_of_task(found, task_id) is None
        confirmed(found, proposal)
        assert gold_of_task(found, task_id) == 1 and found.repository.dataset_digest("d") != digest
        with found.engine.connect() as connection:
            (entry,) = read_entries(connection, "console.gold")
            kinds = [json.loads(e.payload)["did"] for e in read_entries(connection, "console.proposal")]
        told = json.loads(entry.payload)
        assert (told["by"], told["proposer"], told["best"], told["before"]) == ("acc-two", "acc-one", 1, None)
        assert kinds == ["propose", "confirm"]


def test_confirming_twice_is_once_and_another_second_person_is_too_late(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        ((item_id, _),) = items_of(found)
        proposal = proposed(found, item_id, "set", 0)
        assert proposed(found, item_id, "set", 0).id == proposal.id
        confirmed(found, proposal)
        assert confirmed(found, proposal).state == "confirmed"
        with pytest.raises(Rejected, match="confirmed already"):
            confirmed(found, proposal, Decider("acc-three"))
        with pytest.raises(Rejected, match="confirmed already"):
            found.do(lambda unit: refuse_gold(unit, proposal_of(unit.connection, proposal.id), TWO, "no"))
        with found.engine.connect() as connection:
            assert len(list(read_entries(connection, "console.gold"))) == 1


def test_a_rater_of_the_item_is_no_second_person(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        item_id = found.judge("ann", winner=0).item_id
        proposal = proposed(found, item_id, "set", 0)
        with pytest.raises(Rejected, match="rated this item yourself"):
            confirmed(found, proposal, Decider("acc-ann", "ann"))


def test_changed_gold_marks_answers_again(tmp_path: Path) -> None:
    """Ann said 0 and Ben said 1 while 0 was gold; when 1 becomes gold, the marks change sides."""
    with world(tmp_path, prompts=1, gold=1, settings=PLAIN) as found:
        found.judge("ann", winner=0)
        item_id = found.judge("ben", winner=1).item_id
        (_, task_id), *_ = items_of(found)
        confirmed(found, proposed(found, item_id, "set", 1))
        with found.engine.connect() as connection:
            ann, ben = (stats_of(connection, "p", name) for name in ("ann", "ben"))
            gold = gold_at(connection, "p", item_id, "overall")
        assert ann is not None and ben is not None and gold is not None
        assert (ann.gold_seen, ann.gold_right, ben.gold_seen, ben.gold_right) == (1, 0, 1, 1)
        assert (gold.best, gold.exposures, gold.right, gold.author) == (1, 2, 1, "acc-one")
        assert gold_of_task(found, task_id) == 1


def test_withdrawn_gold_is_none_and_counts_for_nobody_and_retired_gold_stays_true(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, gold=1, settings=PLAIN) as found:
        item_id = found.judge("ann", winner=0).item_id
        ((_, task_id),) = items_of(found)
        confirmed(found, proposed(found, item_id, "retire"))
        assert gold_of_task(found, task_id) == 0
        confirmed(found, proposed(found, item_id, "withdraw"))
        assert gold_of_task(found, task_id) is None
        with found.engine.connect() as connection:
            ann = stats_of(connection, "p", "ann")
        assert ann is not None and (ann.gold_seen, ann.gold_right) == (0, 0)
        found.do(lambda unit: create_project(unit, "q", "Second", "d", PLAIN, "lead"))
        with found.engine.connect() as connection:
            assert gold_list(connection, "q") == []


def test_a_second_project_does_not_bring_withdrawn_gold_back(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, gold=1, settings=PLAIN) as found:
        ((item_id, task_id),) = items_of(found)
        confirmed(found, proposed(found, item_id, "withdraw"))
        found.now_ms += 1000
        second = found.do(lambda unit: create_project(unit, "q", "Second", "d", PLAIN, "lead"))
        assert found.do(lambda unit: fill_page(unit, second)).items == 1
        assert gold_of_task(found, task_id) is None


def test_what_changes_meanwhile_stops_a_confirmation(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, gold=1, settings=PLAIN) as found:
        ((item_id, _),) = items_of(found)
        proposal = proposed(found, item_id, "set", 1)
        found.do(lambda u: u.connection.exec_driver_sql("UPDATE gold_items SET state = 'retired'"))
        with pytest.raises(Rejected, match="changed since it was proposed"):
            confirmed(found, proposal)
        with found.engine.connect() as connection:
            assert proposal_of(connection, proposal.id).state == "waiting"


def test_one_proposal_at_a_time_and_only_its_proposer_takes_it_back(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        ((item_id, _),) = items_of(found)
        proposal = proposed(found, item_id, "set", 0)
        with pytest.raises(Rejected, match="waits already"):
            proposed(found, item_id, "set", 1, TWO)
        with pytest.raises(Rejected, match="only its proposer"):
            found.do(lambda unit: withdraw(unit, proposal.id, TWO))
        assert found.do(lambda unit: withdraw(unit, proposal.id, ONE)).second is None
        proposed(found, item_id, "set", 1, TWO)
        with found.engine.connect() as connection:
            assert [p.change["best"] for p in proposals_of(connection)] == [1]
            assert [p.state for p in proposals_of(connection, waiting=False)] == ["withdrawn"]


@pytest.mark.parametrize(("step", "best"), [("set", None), ("set", 2), ("set", -1), ("retire", None), ("withdraw", 0)])
def test_steps_that_make_no_sense_are_refused(tmp_path: Path, step: Step, best: int | None) -> None:
    with world(tmp_path, prompts=1) as found:
        ((item_id, _),) = items_of(found)
        with pytest.raises(Rejected):
            proposed(found, item_id, step, best)
