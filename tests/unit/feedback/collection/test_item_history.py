"""The history of an item holds every judgment, retracted or not, with its place in the journal."""

from pathlib import Path

from collection_world import verdict, world

from backstay.feedback.collection import find_item, skip, submit, undo
from backstay.feedback.collection.item_history import history_of, texts_of
from backstay.storage.journal import entry_at


def test_votes_retractions_and_skips_are_all_there(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        first = found.judge("ann", winner=0)
        again = found.do(lambda unit: undo(unit, found.project, "ann")).assignment
        found.do(lambda unit: submit(unit, again.id, "ann", "key-again", verdict(again, 1), found.secret))
        other = found.next("ben")
        found.do(lambda unit: skip(unit, other.id, "ben", "key-skip", "unclear", "which one?", found.secret))
        with found.engine.connect() as connection:
            item = find_item(connection, "p", first.item_id)
            assert item is not None
            history = history_of(connection, found.project, item)
            texts = texts_of(connection, found.project, item)
            assert [row.state for row in history] == ["retracted", "judged", "skipped"]
            assert [[said.judgment.choice.ranking for said in row.said] for row in history] == [
                [((0,), (1,))],
                [((1,), (0,))],
                [],
            ]
            taken_back, stands = history[0].said[0], history[1].said[0]
            assert taken_back.retracted_seq is not None and stands.retracted_seq is None
            entry = entry_at(connection, taken_back.retracted_seq)
            assert entry is not None and entry.kind == "retraction" and taken_back.judgment.id in entry.payload
            judged = entry_at(connection, stands.seq)
            assert judged is not None and judged.hash == stands.hash and stands.judgment.id in judged.payload
        assert history[2].skipped == {"reason": "unclear", "note": "which one?"}
        assert stands.dimension == "overall" and history[1].order_shown == again.order_shown
        assert [response.id for response in texts.responses] == list(item.response_ids)
