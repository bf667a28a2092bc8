"""Disputes, drafts, gold and proposals on SQLite and on PostgreSQL: the same queries, pages and journal."""

from pathlib import Path

import pytest
from collection_world import World, fill_dataset, verdict
from databases import Database

from backstay.feedback.collection import ProjectSettings, Submission, create_project, fill_page, submit
from backstay.feedback.collection.adjudicating import adjudicate, dispute_of, disputes, next_dispute
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.drafting import accept_draft, waiting_drafts
from backstay.feedback.collection.gold_keeping import confirm_gold, gold_list, propose_gold
from backstay.feedback.collection.item_history import history_of
from backstay.feedback.collection.proposing import proposals_of
from backstay.feedback.collection.submission import Answer
from backstay.storage import SealLog, open_database, verify_journal
from backstay.web.accounts import audit_log

pytestmark = pytest.mark.integration
SPLIT = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2)
ONE, TWO = Decider("acc-one"), Decider("acc-two")


def test_what_people_decide_is_the_same_on_both(tmp_path: Path, database: Database) -> None:
    (tmp_path / ".backstay").mkdir(exist_ok=True)
    engine = open_database(database.url, create=True)
    found = World(engine)
    fill_dataset(found.repository, 2, gold=1)
    project = found.do(lambda unit: create_project(unit, "p", "P", "d", SPLIT, "lead"))
    found.do(lambda unit: fill_page(unit, project))
    for rater, winner in (("ann", 0), ("ben", 1)):
        for _ in range(2):
            task = found.next(rater)
            sent = verdict(task, winner).model_dump() | {"edit": {"slot": 0, "text": f"Better, says {rater}."}}
            body = Submission.model_validate(sent)
            found.do(lambda u, t=task, b=body, r=rater: submit(u, t.id, r, f"key-{t.id}", b, found.secret))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    with engine.connect() as connection:
        first = next_dispute(connection, project, ONE)
        assert first is not None
        assert first in [item.id for item, _ in disputes(connection, project, ONE)]
        dispute = dispute_of(connection, project, first, ONE)
        (draft, *others) = waiting_drafts(connection, project)
        assert len(others) == 3 and waiting_drafts(connection, project, draft.id) == others
        (gold,) = gold_list(connection, "p")
    answers = [Answer(dimension="overall", ranking=((0,), (1,)))]
    found.do(lambda unit: adjudicate(unit, project, first, ONE, 0, answers, "clear"))
    found.do(lambda unit: accept_draft(unit, project, draft.id, ONE))
    made = found.do(lambda u: propose_gold(u, project, gold.item_id, "overall", "set", 1, ONE, "it is 1"))
    found.do(lambda unit: confirm_gold(unit, made, TWO, "yes"))
    with engine.connect() as connection:
        assert next_dispute(connection, project, ONE, first) not in (None, first)
        (changed,) = gold_list(connection, "p")
        assert (changed.best, changed.exposures, changed.right) == (1, 2, 1)
        assert [row.state for row in proposals_of(connection, waiting=False)] == ["confirmed"]
        assert proposals_of(connection, waiting=False, after=made.id) == []
        assert len(history_of(connection, project, dispute.item)) == 2
        acts, _ = audit_log.acts(connection, by="acc-two")
        assert [(act.kind, act.payload["did"]) for act in acts] == [
            ("console.gold", "set"),
            ("console.proposal", "confirm"),
        ]
    assert [audit.winner for audit in found.repository.audits("d")] == [dispute.item.response_ids[dispute.order[0]]]
    assert sorted(str(task.gold) for task in found.repository.tasks("d")) == ["1", "None"]
    assert len(found.repository.demonstrations("d")) == 1
    assert verify_journal(engine, SealLog(())).broken is None
    engine.dispose()
