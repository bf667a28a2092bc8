"""A quarantined pair is released by two people, neither alone, and no rater of its prompt."""

from pathlib import Path

import pytest
from collection_world import World, world

from backstay.feedback.collection import Rejected, find_item
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.proposing import Proposal, proposal_of
from backstay.feedback.collection.releasing import confirm_release, project_on, propose_release, refuse_release
from backstay.records import Finding, Pair

ONE, TWO = Decider("acc-one"), Decider("acc-two", "r-two")


def pair_of(found: World, item_id: str) -> Pair:
    with found.engine.connect() as connection:
        item = find_item(connection, "p", item_id)
    assert item is not None
    a, b = item.response_ids
    seen = Finding(scanner="baseline", kind="danger", severity="high")
    return Pair(
        id="pair-1", prompt_id=item.prompt_id, a=a, b=b, p_a=0.9, weight=1.0, status="quarantined", findings=(seen,)
    )


def proposed(found: World, item_id: str) -> Proposal:
    pair = pair_of(found, item_id)
    return found.do(lambda unit: propose_release(unit, "p", pair, "screen-0123456789ab", ONE, "harmless after all"))


def test_the_second_persons_word_writes_one_review(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        proposal = proposed(found, found.judge("ann", winner=0).item_id)
        assert found.repository.reviews() == []
        with pytest.raises(Rejected, match="somebody else than its proposer"):
            found.do(lambda unit: confirm_release(unit, proposal, ONE, "me too"))
        for _ in range(2):
            found.do(lambda u: confirm_release(u, proposal_of(u.connection, proposal.id), TWO, "read both"))
        (review,) = found.repository.reviews()
        assert (review.item_id, review.action, review.reviewer) == ("pair-1", "release", "acc-one and acc-two")
        assert "harmless after all" in review.reason and "read both" in review.reason


def test_a_rater_of_the_prompt_is_no_second_person(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        proposal = proposed(found, found.judge("ann", winner=0).item_id)
        with pytest.raises(Rejected, match="rated this prompt yourself"):
            found.do(lambda unit: confirm_release(unit, proposal, Decider("acc-ann", "ann"), "fine"))
        found.do(lambda unit: refuse_release(unit, proposal, TWO, "not so sure"))
        assert found.repository.reviews() == []


def test_a_pair_that_is_not_quarantined_is_not_proposed(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        pair = pair_of(found, found.judge("ann", winner=0).item_id).model_copy(update={"status": "accepted"})
        with pytest.raises(Rejected, match="is accepted, not quarantined"):
            found.do(lambda unit: propose_release(unit, "p", pair, "screen-x", ONE, "why"))


def test_the_project_is_one_that_collects_on_the_data_set(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found, found.engine.connect() as connection:
        assert project_on(connection, "d") == "p"
        with pytest.raises(Rejected, match="no project collects"):
            project_on(connection, "other")
