"""A draft becomes a demonstration by another person's word only."""

import json
from pathlib import Path

import pytest
from collection_world import World, verdict, world

from backstay.feedback.collection import Rejected, Submission, submit, undo
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.drafting import (
    Draft,
    accept_draft,
    count_drafts,
    draft_of,
    refuse_draft,
    waiting_drafts,
)
from backstay.storage.journal import read_entries

REVIEWER = Decider("acc-rev", "r-rev")


def written(found: World, rater: str = "ann", text: str = "A much better answer.") -> Draft:
    """A rater judges the next item and writes a better answer out of the first response shown."""
    assignment = found.next(rater)
    sent = verdict(assignment, 0).model_dump() | {"edit": {"slot": 0, "text": text}}
    found.do(
        lambda u: submit(u, assignment.id, rater, f"key-{assignment.id}", Submission.model_validate(sent), found.secret)
    )
    with found.engine.connect() as connection:
        return waiting_drafts(connection, found.project)[-1]


def test_an_accepted_draft_is_a_demonstration_that_names_both(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        draft = written(found)
        for _ in range(2):
            assert found.do(lambda unit: accept_draft(unit, found.project, draft.id, REVIEWER)).state == "accepted"
        (demonstration,) = found.repository.demonstrations("d")
        assert demonstration.text == "A much better answer." and demonstration.prompt.id == draft.prompt_id
        assert "ann" in demonstration.source and "acc-rev" in demonstration.source
        with found.engine.connect() as connection:
            (entry,) = read_entries(connection, "console.draft_review")
            assert count_drafts(connection, "p") == 0
        assert json.loads(entry.payload)["did"] == "accepted"


def test_its_author_neither_accepts_nor_refuses_it(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        draft = written(found)
        author = Decider("acc-ann", "ann")
        with pytest.raises(Rejected, match="written this draft yourself"):
            found.do(lambda unit: accept_draft(unit, found.project, draft.id, author))
        with pytest.raises(Rejected, match="written this draft yourself"):
            found.do(lambda unit: refuse_draft(unit, found.project, draft.id, author, "no"))
        assert found.repository.demonstrations("d") == []


def test_a_refused_draft_keeps_its_reason_and_is_not_accepted_later(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        draft = written(found)
        for _ in range(2):
            found.do(lambda unit: refuse_draft(unit, found.project, draft.id, REVIEWER, "invents a fact"))
        with pytest.raises(Rejected, match="refused already"):
            found.do(lambda unit: accept_draft(unit, found.project, draft.id, REVIEWER))
        with found.engine.connect() as connection:
            kept = draft_of(connection, found.project, draft.id)
            assert len(list(read_entries(connection, "console.draft_review"))) == 1
        assert (kept.state, kept.reason, kept.reviewed_by) == ("refused", "invents a fact", "acc-rev")


def test_a_draft_whose_judgment_is_taken_back_is_not_reviewed(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2) as found:
        draft = written(found)
        found.do(lambda unit: undo(unit, found.project, "ann"))
        with pytest.raises(Rejected, match="withdrawn already"):
            found.do(lambda unit: accept_draft(unit, found.project, draft.id, REVIEWER))


def test_another_projects_draft_is_not_found(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        draft = written(found)
        elsewhere = found.project._replace(id="q")
        with pytest.raises(Rejected, match="no such draft"):
            found.do(lambda unit: accept_draft(unit, elsewhere, draft.id, REVIEWER))
