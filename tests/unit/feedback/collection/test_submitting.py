"""Answers are stored once, counted once, and refused whole where they do not fit."""

from pathlib import Path

import pytest
from collection_world import World, verdict, world
from recount import check_counts
from sqlalchemy import select

from backstay.errors import UsageError
from backstay.feedback.collection import (
    ProjectSettings,
    Rejected,
    create_project,
    expire,
    fill_page,
    find_item,
    issue,
    progress_of,
    renew,
    skip,
    submit,
    undo,
)
from backstay.feedback.collection.choosing import Pick
from backstay.feedback.collection.leasing import Assignment, lease
from backstay.feedback.collection.raters import join_project, stats_of
from backstay.records import Judgment
from backstay.storage import SealLog, verify_journal
from backstay.storage.console_tables import items
from backstay.storage.unit import Unit


def judgments(found: World) -> list[Judgment]:
    return found.repository.judgments("d")


def test_answer_becomes_a_judgment_in_indices_of_the_task(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        assigned = found.judge("ann", winner=1)
        (stored,) = judgments(found)
        assert stored.choice.ranking == ((1,), (0,))
        assert stored.order_shown == assigned.order_shown and stored.rater_id == "ann"
        assert stored.duration_ms == 4000 and stored.created_at == "2027-01-15T08:00:05.000Z"
        with found.engine.connect() as connection:
            item = find_item(connection, "p", assigned.item_id)
            assert item is not None and (item.votes, item.leased, item.wants) == (1, 0, 2)
            assert item.counts == {"overall": {"1>0": 1}}
        assert verify_journal(found.engine, SealLog(())).broken is None


def test_same_submission_twice_is_stored_once(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3) as found:
        first = found.next("ann")
        sent = verdict(first, 0)
        one = found.do(lambda unit: submit(unit, first.id, "ann", "key-0001", sent, found.secret))
        two = found.do(lambda unit: submit(unit, first.id, "ann", "key-0001", sent, found.secret))
        assert (one.is_new, two.is_new) == (True, False)
        assert one.following.assignment == two.following.assignment
        assert len(judgments(found)) == 1
        with pytest.raises(Rejected, match="another answer") as refused:
            found.do(lambda unit: submit(unit, first.id, "ann", "key-0001", verdict(first, 1), found.secret))
        assert refused.value.code == "key_reused"
        with pytest.raises(Rejected) as again:
            found.do(lambda unit: submit(unit, first.id, "ann", "key-0002", sent, found.secret))
        assert again.value.code == "already_judged" and len(judgments(found)) == 1


def test_assignment_of_somebody_else_looks_like_none(tmp_path: Path) -> None:
    with world(tmp_path) as found:
        first = found.next("ann")
        with pytest.raises(Rejected) as refused:
            found.do(lambda unit: submit(unit, first.id, "bob", "key-0001", verdict(first, 0), found.secret))
        with pytest.raises(Rejected) as missing:
            found.do(lambda unit: submit(unit, "none", "bob", "key-0001", verdict(first, 0), found.secret))
        assert refused.value.message == missing.value.message and refused.value.code == "not_found"


@pytest.mark.parametrize("gold", [0, 1])
def test_late_answer_counts_for_a_while_whatever_was_asked(tmp_path: Path, gold: int) -> None:
    settings = ProjectSettings(votes=1, most_votes=1, gold_share=0.5 * gold, repeat_share=0.0, lease_s=60)
    with world(tmp_path, prompts=1, gold=gold, settings=settings) as found:
        late, too_late = found.next("ann"), found.do(lambda unit: lease_again(unit, found, "cid"))
        found.now_ms += 61_000
        found.do(expire)
        found.judge("bob", 0)
        found.do(lambda unit: submit(unit, late.id, "ann", "key-0001", verdict(late, 0), found.secret))
        found.now_ms += 60_000
        with pytest.raises(Rejected) as refused:
            found.do(lambda unit: submit(unit, too_late.id, "cid", "key-0002", verdict(too_late, 0), found.secret))
        assert refused.value.code == "lease_over"
        assert [judgment.rater_id for judgment in judgments(found)] == ["bob", "ann"]


def lease_again(unit: Unit, found: World, rater: str) -> Assignment:
    """The one item for another rater, as though it wanted another vote."""
    join_project(unit, found.project, rater)
    item = find_item(unit.connection, "p", unit.connection.execute(select(items.c.id)).scalar_one())
    assert item is not None
    return lease(unit, found.project, rater, item, Pick(item.id, "vote", "active", 1.0), (0, 1))


def test_renewal_keeps_a_lease(tmp_path: Path) -> None:
    with world(tmp_path) as found:
        first = found.next("ann")
        found.now_ms += 800_000
        assert found.do(lambda unit: renew(unit, first.id, "ann")).expires_at_ms == found.now_ms + 900_000
        found.now_ms += 800_000
        assert found.do(expire) == 0 and found.next("ann").id == first.id


def test_lease_that_is_over_is_not_renewed_beside_another_one(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3) as found:
        first = found.next("ann")
        found.now_ms += 901_000
        other = found.next("ann")
        with pytest.raises(Rejected) as refused:
            found.do(lambda unit: renew(unit, first.id, "ann"))
        assert refused.value.code == "lease_over" and found.next("ann").id == other.id


def test_late_answer_and_its_successor_are_one_vote_where_prompts_come_again(tmp_path: Path) -> None:
    again = ProjectSettings(votes=3, gold_share=0.0, repeat_share=0.0, lease_s=60, prompts_again=2)
    with world(tmp_path, prompts=1, settings=again) as found:
        first = found.next("ann")
        found.now_ms += 61_000
        second = found.next("ann")
        assert second.item_id == first.item_id and second.id != first.id
        with pytest.raises(Rejected) as refused:
            found.do(lambda unit: submit(unit, first.id, "ann", "key-0001", verdict(first, 0), found.secret))
        assert refused.value.code == "lease_over"
        found.do(lambda unit: submit(unit, second.id, "ann", "key-0002", verdict(second, 0), found.secret))
        assert len(judgments(found)) == 1


def test_two_projects_on_one_data_set_count_their_own_votes(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        settings = found.project.settings
        other = found.do(lambda unit: create_project(unit, "q", "Other", "d", settings, "lead"))
        assert found.do(lambda unit: fill_page(unit, other)).items == 1
        assert found.do(lambda unit: fill_page(unit, other)).items == 0
        first = found.judge("ann", winner=0)
        second = found.do(lambda unit: issue(unit, other, "ann", found.secret)).assignment
        assert second is not None and second.item_id == first.item_id
        sent = verdict(second, 1)
        found.do(lambda unit: submit(unit, second.id, "ann", "key-0001", sent, found.secret))
        with found.engine.connect() as connection:
            for project, label in (("p", "0>1"), ("q", "1>0")):
                check_counts(connection, project)
                item = find_item(connection, project, first.item_id)
                assert item is not None and item.counts == {"overall": {label: 1}}
        found.do(lambda unit: undo(unit, other, "ann"))
        with found.engine.connect() as connection:
            stats = stats_of(connection, "p", "ann")
            assert stats is not None and stats.judged == 1
            check_counts(connection, "q")
        assert [judgment.choice.ranking for judgment in judgments(found)] == [((0,), (1,))]


def test_clock_that_goes_back_gives_no_time_below_none(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        first = found.next("ann")
        found.now_ms -= 60_000
        found.do(lambda unit: submit(unit, first.id, "ann", "key-0001", verdict(first, 0), found.secret))
        assert judgments(found)[0].duration_ms == 0


def test_nobody_gets_a_prompt_twice_and_items_get_the_votes_they_want(tmp_path: Path) -> None:
    with world(tmp_path, prompts=4) as found:
        seen: dict[str, list[str]] = {}
        for rater in ("ann", "bob", "cid"):
            for _ in range(4):
                seen.setdefault(rater, []).append(found.judge(rater, winner=0).prompt_id)
        assert all(len(set(prompts)) == 4 for prompts in seen.values())
        counts: dict[str, int] = {}
        for judgment in judgments(found):
            counts[judgment.task_id] = counts.get(judgment.task_id, 0) + 1
        assert set(counts.values()) == {3} and len(counts) == 4


def test_open_leases_hold_the_places(tmp_path: Path) -> None:
    two = ProjectSettings(votes=2, most_votes=2, gold_share=0.0, repeat_share=0.0)
    with world(tmp_path, prompts=1, settings=two) as found:
        found.next("ann")
        found.next("bob")
        with pytest.raises(AssertionError):
            found.next("cid")


def test_skipped_task_does_not_come_back_and_goes_to_others(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2) as found:
        first = found.next("ann")
        taken = found.do(lambda unit: skip(unit, first.id, "ann", "key-0001", "unclear", "what?", found.secret))
        assert taken.following.assignment is not None and taken.following.assignment.prompt_id != first.prompt_id
        with found.engine.connect() as connection:
            item = find_item(connection, "p", first.item_id)
            assert item is not None and item.leased == 0
            assert progress_of(connection, "p", "ann", found.now_ms).skipped == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answers": [{"dimension": "harmless", "ranking": [[0], [1]]}]}, "one answer is wanted for each of: overall"),
        ({"answers": [{"dimension": "overall", "ranking": [[0]]}]}, "names each of the 2 slots once"),
        ({"answers": [{"dimension": "overall", "ranking": [[0], [0]]}]}, "names each of the 2 slots once"),
        ({"answers": [{"dimension": "overall", "ranking": [[0, 1]], "strength": 2}]}, "a strength goes with one"),
        ({"answers": [{"dimension": "overall", "both_bad": True, "strength": 1}]}, "stands alone"),
        ({"flags": [{"slot": 2, "flag": "unsafe"}]}, "slots count from 0"),
        ({"spans": [{"slot": 0, "start": 0, "end": 99}]}, "no span from 0 to 99"),
    ],
)
def test_what_does_not_fit_is_refused_whole(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with world(tmp_path, prompts=1) as found:
        first = found.next("ann")
        sent = type(verdict(first, 0)).model_validate(verdict(first, 0).model_dump() | change)
        with pytest.raises(UsageError, match=said):
            found.do(lambda unit: submit(unit, first.id, "ann", "key-0001", sent, found.secret))
        assert not judgments(found) and found.next("ann").id == first.id


def test_gold_counts_for_the_rater_who_met_it(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3, gold=3) as found:
        for winner in (0, 0, 1):
            found.judge("ann", winner)
        with found.engine.connect() as connection:
            stats = stats_of(connection, "p", "ann")
        assert stats is not None and (stats.gold_seen, stats.gold_right, stats.judged) == (3, 2, 3)


def test_unsure_items_get_extra_votes_and_then_a_dispute(tmp_path: Path) -> None:
    settings = ProjectSettings(votes=2, most_votes=4, gold_share=0.0, repeat_share=0.0)
    with world(tmp_path, prompts=1, settings=settings) as found:
        states = []
        for rater, winner in (("ann", 0), ("bob", 1), ("cid", 0), ("dan", 1)):
            first = found.judge(rater, winner)
            with found.engine.connect() as connection:
                item = find_item(connection, "p", first.item_id)
            assert item is not None
            states.append((item.state, item.wants))
        assert states == [("open", 1), ("open", 1), ("open", 1), ("disputed", 0)]
