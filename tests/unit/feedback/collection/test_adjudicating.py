"""A reviewer decides blind, once, never on an own item; and what is decided reaches aggregation as audits."""

import json
from pathlib import Path

import pytest
from collection_world import World, world

from backstay.errors import UsageError
from backstay.feedback.collection import ProjectSettings, Rejected, find_item, undo
from backstay.feedback.collection.adjudicating import (
    Dispute,
    Settled,
    adjudicate,
    adjudications_of,
    count_disputes,
    dispute_of,
    disputes,
    next_dispute,
    open_dispute,
)
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.submission import Answer
from backstay.storage import SealLog, verify_journal
from backstay.storage.journal import read_entries

REVIEWER, OTHER = Decider("acc-rev", "r-rev"), Decider("acc-other", "r-other")
SPLIT = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2)


def disputed(found: World, prompts: int = 1) -> list[str]:
    """Have two raters contradict each other on every item; ids of the items."""
    for _ in range(prompts):
        found.judge("ann", winner=0)
    for _ in range(prompts):
        found.judge("ben", winner=1)
    with found.engine.connect() as connection:
        return [item.id for item, _ in disputes(connection, found.project, REVIEWER)]


def blind(found: World, item_id: str, who: Decider = REVIEWER) -> Dispute:
    with found.engine.connect() as connection:
        return dispute_of(connection, found.project, item_id, who)


def verdict_for(dispute: Dispute, winner: int) -> list[Answer]:
    """Prefer the response of this index, wherever it is shown."""
    place = dispute.order.index(winner)
    return [Answer(dimension=name, ranking=((place,), (1 - place,))) for name in dispute.dimensions]


def decide(found: World, dispute: Dispute, winner: int, who: Decider = REVIEWER, reason: str = "clearer") -> Settled:
    answers = verdict_for(dispute, winner)
    return found.do(lambda u: adjudicate(u, found.project, dispute.item.id, who, dispute.round, answers, reason))


def test_a_verdict_settles_the_item_and_becomes_an_audit(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=SPLIT) as found:
        (item_id,) = disputed(found)
        dispute = blind(found, item_id)
        settled = decide(found, dispute, winner=1)
        assert settled.is_new and settled.item.state == "settled"
        (audit,) = found.repository.audits("d")
        assert audit.winner == dispute.item.response_ids[1] and audit.by == "acc-rev"
        assert audit.prompt_id == dispute.item.prompt_id and audit.dimension == "overall"
        with found.engine.connect() as connection:
            (entry,) = read_entries(connection, "console.adjudication")
            assert count_disputes(connection, "p") == 0 and next_dispute(connection, found.project, OTHER) is None
        told = json.loads(entry.payload)
        assert told["by"] == "acc-rev" and told["reason"] == "clearer" and told["order_shown"] == list(dispute.order)
        assert told["choices"]["overall"]["ranking"] == [[1], [0]]
        assert verify_journal(found.engine, SealLog(())).broken is None


def test_the_order_is_the_same_on_each_look_and_differs_between_reviewers(tmp_path: Path) -> None:
    with world(tmp_path, prompts=12, settings=SPLIT) as found:
        ids = disputed(found, 12)
        first = [blind(found, item_id).order for item_id in ids]
        assert first == [blind(found, item_id).order for item_id in ids]
        assert {(0, 1), (1, 0)} == set(first)
        assert first != [blind(found, item_id, OTHER).order for item_id in ids]


def test_who_rated_an_item_does_not_decide_it(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=SPLIT) as found:
        (item_id,) = disputed(found)
        ann = Decider("acc-ann", "ann")
        dispute = blind(found, item_id)
        with pytest.raises(Rejected, match="rated this item yourself") as refused:
            decide(found, dispute._replace(order=(0, 1)), winner=0, who=ann)
        assert refused.value.code == "own_item"
        with found.engine.connect() as connection:
            assert next_dispute(connection, found.project, ann) is None
            assert next_dispute(connection, found.project, REVIEWER) == item_id
            assert adjudications_of(connection, "p", item_id) == []


def test_sent_twice_it_is_stored_once_and_a_slower_reviewer_is_told(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=SPLIT) as found:
        (item_id,) = disputed(found)
        mine, theirs = blind(found, item_id), blind(found, item_id, OTHER)
        decide(found, mine, winner=0)
        assert not decide(found, mine, winner=0).is_new
        for late, who, winner in ((mine, REVIEWER, 1), (theirs, OTHER, 0)):
            with pytest.raises(Rejected, match="decided meanwhile"):
                decide(found, late, winner, who)
        with found.engine.connect() as connection:
            assert len(adjudications_of(connection, "p", item_id)) == 1
            assert len(list(read_entries(connection, "console.adjudication"))) == 1


def test_a_settled_item_that_is_opened_again_is_decided_anew_and_the_last_word_holds(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=SPLIT) as found:
        (item_id,) = disputed(found)
        decide(found, blind(found, item_id), winner=0)
        found.now_ms += 1000
        found.do(lambda unit: open_dispute(unit, found.project, item_id, OTHER, "I doubt it"))
        again = blind(found, item_id, OTHER)
        assert again.round == 1
        decide(found, again, winner=1, who=OTHER)
        (audit,) = found.repository.audits("d")
        assert audit.winner == again.item.response_ids[1]


def test_a_tie_or_both_bad_gives_no_audit_and_withdraws_an_earlier_one(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2, settings=SPLIT) as found:
        for item_id, answer in zip(
            disputed(found, 2),
            (Answer(dimension="overall", ranking=((0, 1),)), Answer(dimension="overall", both_bad=True)),
            strict=True,
        ):
            decide(found, blind(found, item_id), winner=0)
            found.now_ms += 1
            found.do(lambda unit, i=item_id: open_dispute(unit, found.project, i, OTHER, "doubt"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            found.do(lambda unit, i=item_id, a=answer: adjudicate(unit, found.project, i, OTHER, 1, [a], "neither"))  # type: ignore[misc]  # as above
        assert found.repository.audits("d") == []


def test_answers_that_do_not_fit_store_nothing(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=SPLIT) as found:
        (item_id,) = disputed(found)
        for answers in (
            [],
            [Answer(dimension="harmless", ranking=((0,), (1,)))],
            [Answer(dimension="overall", ranking=((0,),))],
        ):
            with pytest.raises(Rejected, match=r"one answer|a ranking"):
                found.do(lambda unit, a=answers: adjudicate(unit, found.project, item_id, REVIEWER, 0, a, "why"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        with pytest.raises(UsageError, match="has a reason"):
            decide(found, blind(found, item_id), winner=0, reason="  ")
        with found.engine.connect() as connection:
            item = find_item(connection, "p", item_id)
        assert item is not None and item.state == "disputed"


def test_an_item_that_raters_still_work_on_is_not_opened(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        item_id = found.judge("ann", winner=0).item_id
        with pytest.raises(Rejected, match="this item is open"):
            found.do(lambda unit: open_dispute(unit, found.project, item_id, REVIEWER, "doubt"))


def test_a_vote_taken_back_gives_the_item_back_to_raters_and_a_late_one_does_not(tmp_path: Path) -> None:
    settings = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=1, most_votes=1)
    with world(tmp_path, prompts=1, settings=settings) as found:
        item_id = found.judge("ann", winner=0).item_id
        found.do(lambda unit: open_dispute(unit, found.project, item_id, REVIEWER, "doubt"))
        found.do(lambda unit: undo(unit, found.project, "ann"))
        with found.engine.connect() as connection:
            item = find_item(connection, "p", item_id)
        assert item is not None and item.state == "open"


def test_the_digest_of_the_data_set_tells_that_somebody_decided(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=SPLIT) as found:
        (item_id,) = disputed(found)
        before = found.repository.dataset_digest("d")
        decide(found, blind(found, item_id), winner=0)
        assert found.repository.dataset_digest("d") != before
