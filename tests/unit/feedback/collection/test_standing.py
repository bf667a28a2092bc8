"""Pausing a rater ends what the rater had open, is journalled with its reason, and can be taken back."""

from pathlib import Path

import pytest
from collection_world import verdict, world

from backstay.errors import UsageError
from backstay.feedback.collection import Rejected, find_item, issue, stats_of, submit
from backstay.feedback.collection.standing import change_status
from backstay.storage.journal import read_entries


def test_a_paused_rater_gives_back_and_gets_nothing(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        held = made.next("ann")
        made.do(lambda unit: change_status(unit, made.project, "ann", "paused", "maria", "Too fast"))
        with made.engine.connect() as connection:
            item = find_item(connection, "p", held.item_id)
            assert item is not None
            assert item.leased == 0
            (entry,) = read_entries(connection, "console.rater")
        assert (
            '"by":"maria","did":"paused","project":"p","rater":"ann","reason":"Too fast","was":"active"'
            in entry.payload
        )
        assert made.do(lambda unit: issue(unit, made.project, "ann", made.secret)).why == "paused"
        with pytest.raises(Rejected) as refused:
            made.do(lambda unit: submit(unit, held.id, "ann", "key-late-one", verdict(held, 0), made.secret))
        assert refused.value.code == "paused"
        made.do(lambda unit: change_status(unit, made.project, "ann", "active", "maria", "Talked about it"))
        assert made.next("ann").state == "open"


def test_what_is_refused(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.next("ann")
        with pytest.raises(UsageError, match="reason"):
            made.do(lambda unit: change_status(unit, made.project, "ann", "paused", "maria", "  "))
        with pytest.raises(UsageError, match="no status"):
            made.do(lambda unit: change_status(unit, made.project, "ann", "gone", "maria", "x"))  # type: ignore[arg-type]  # on purpose
        with pytest.raises(Rejected, match="no rater"):
            made.do(lambda unit: change_status(unit, made.project, "bob", "paused", "maria", "x"))
        with pytest.raises(Rejected, match="active already"):
            made.do(lambda unit: change_status(unit, made.project, "ann", "active", "maria", "x"))
        with made.engine.connect() as connection:
            found = stats_of(connection, "p", "ann")
            assert found is not None
            assert found.status == "active"
            assert list(read_entries(connection, "console.rater")) == []
