import hashlib
import multiprocessing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databases import Database

from backstay.errors import IntegrityError, UsageError
from backstay.records import Choice, Demonstration, Judgment, Message, Prompt, Rater, Response, Task, canonical_json
from backstay.storage import Store

if TYPE_CHECKING:
    from tests.unit.storage.conftest import Rows


def test_everything_comes_back(store: Store, rows: "Rows") -> None:
    repository = store.repository
    demonstration = Demonstration(prompt=rows.prompts[0], text="Yes.", source="test")
    assert repository.add_demonstrations("demo", [demonstration]) == 1
    assert repository.prompts("demo") == sorted(rows.prompts, key=lambda prompt: prompt.id)
    assert repository.responses("demo") == sorted(rows.responses, key=lambda response: response.id)
    assert repository.tasks("demo") == sorted(rows.tasks, key=lambda task: task.id)
    assert repository.raters("demo") == rows.raters
    assert repository.demonstrations("demo") == [demonstration]
    assert repository.prompts("other") == []


def test_adding_twice_stores_nothing_and_does_not_touch_the_journal(store: Store, rows: "Rows") -> None:
    entries = store.verify().entries
    assert store.repository.add_prompts("demo", rows.prompts) == 0
    assert store.repository.add_raters("demo", rows.raters * 2) == 0
    assert store.verify().entries == entries


def test_same_id_with_other_content_is_refused_by_field(store: Store, rows: "Rows") -> None:
    changed = rows.tasks[0].model_copy(update={"gold": 1, "wanted": 9})
    with pytest.raises(IntegrityError, match="is already stored with other content in gold, wanted"):
        store.repository.add_tasks("demo", [changed])
    twins = [Rater(id="eve", display_name="Eve"), Rater(id="eve", display_name="Mallory")]
    with pytest.raises(IntegrityError, match="'eve' is already stored with other content in display_name"):
        store.repository.add_raters("demo", twins)
    assert len(store.repository.raters("demo")) == 2


def test_data_sets_do_not_see_each_other(store: Store, rows: "Rows") -> None:
    changed = rows.prompts[0].model_copy(update={"split": "heldout"})
    assert store.repository.add_prompts("other", [changed]) == 1
    counts = {found.name: found for found in store.repository.datasets()}
    assert counts["demo"].prompts == 3
    assert counts["demo"].responses == 6
    assert counts["other"].prompts == 1
    assert counts["other"].tasks == 0


def test_references_must_stand(store: Store, rows: "Rows") -> None:
    stranger = Prompt.make((Message(role="user", content="never stored"),), source="test")
    with pytest.raises(UsageError, match=f"response refers to unknown prompt '{stranger.id}' in data set 'demo'"):
        store.repository.add_responses("demo", [Response.make(stranger.id, "x", policy="test")])
    with pytest.raises(UsageError, match="task refers to unknown response 'response-none'"):
        store.repository.add_tasks("demo", [Task.make(rows.prompts[0].id, ("response-none", rows.responses[0].id))])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_odd_data_set_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a data set"):
        store.repository.add_prompts(name, [])


def test_judgments_are_chained_in_order(store: Store, rows: "Rows") -> None:
    chained = store.repository.append_judgments("demo", rows.judgments(4))
    assert store.repository.judgments("demo") == chained
    assert [later.prev_hash for later in chained[1:]] == [earlier.hash for earlier in chained[:-1]]
    assert len({judgment.hash for judgment in chained}) == 4
    bare = [judgment.model_copy(update={"prev_hash": "", "hash": ""}) for judgment in chained]
    assert bare == rows.judgments(4)


def test_judgment_hash_is_the_one_the_documentation_defines(store: Store, rows: "Rows") -> None:
    seq = store.verify().entries + 1
    [chained] = store.repository.append_judgments("demo", [rows.judgment(0)])
    body = chained.payload()
    prev_hash = body.pop("prev_hash")
    del body["hash"]
    entry = {
        "seq": seq,
        "kind": "judgment",
        "payload": {"dataset": "demo", "judgment": body},
        "prev_hash": prev_hash,
    }
    assert chained.hash == hashlib.sha256(canonical_json(entry)).hexdigest()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"task_id": "task-none"}, "judgment of unknown task 'task-none'"),
        ({"rater_id": "eve"}, "judgment by unknown rater 'eve'"),
        ({"id": "judgment-0"}, "judgment 'judgment-0' is already in data set 'demo'"),
        ({"choice": Choice(ranking=((0,), (1,), (2,)))}, "ranks 3 responses, its task has 2"),
        ({"order_shown": (0, 0)}, r"has order_shown \(0, 0\)"),
        ({"hash": "f" * 64}, "carries a journal hash already"),
    ],
)
def test_judgment_that_does_not_fit_stores_nothing(
    store: Store, rows: "Rows", change: dict[str, object], complaint: str
) -> None:
    good = rows.judgment(1)
    with pytest.raises(UsageError, match=complaint):
        store.repository.append_judgments("demo", [rows.judgment(0), good, rows.judgment(2).model_copy(update=change)])
    assert store.repository.judgments("demo") == []
    assert store.verify().ok


def test_unknown_order_and_both_bad_are_welcome(store: Store, rows: "Rows") -> None:
    judgment = rows.judgment(0).model_copy(update={"order_shown": (), "choice": Choice(both_bad=True)})
    store.repository.append_judgments("demo", [judgment])
    [stored] = store.repository.judgments("demo")
    assert (stored.order_shown, stored.choice.both_bad) == ((), True)


def test_batch_stores_all_or_nothing(store: Store, rows: "Rows") -> None:
    before = store.verify().entries
    strangers = [rows.judgment(0, rater="nobody")]

    def write() -> None:
        with store.repository.batch() as batch:
            assert batch.add_raters("demo", [Rater(id="eve", display_name="Eve")]) == 1
            batch.append_judgments("demo", strangers)

    with pytest.raises(UsageError, match="unknown rater 'nobody'"):
        write()
    assert store.verify().entries == before
    assert len(store.repository.raters("demo")) == 2


def test_reviews_keep_their_order(store: Store) -> None:
    first = store.repository.add_review("pair-1", "release", "Ann", "a false alarm")
    second = store.repository.add_review("pair-1", "quarantine", "Bob", "not so sure")
    assert store.repository.reviews() == [first, second]
    with pytest.raises(UsageError, match="needs the reviewer's name and a reason"):
        store.repository.add_review("pair-1", "release", "Ann", " ")


def test_digest_depends_on_content_only(tmp_path: Path, rows: "Rows", database: Database) -> None:
    other = database.another()
    with Store(tmp_path, create=True) as one, Store(tmp_path / "b", create=True, seal=False, url=other) as two:
        rows.add_to(one, "x")
        one.repository.append_judgments("x", rows.judgments(3))
        rows.add_to(two, "noise")
        two.repository.append_judgments("noise", [rows.judgment(9)])
        two.repository.add_prompts("x", rows.prompts[1:])
        rows.add_to(two, "x")
        for judgment in rows.judgments(3):
            two.repository.append_judgments("x", [judgment])
        assert one.repository.dataset_digest("x") == two.repository.dataset_digest("x")
        two.repository.add_raters("x", [Rater(id="eve", display_name="Eve")])
        assert one.repository.dataset_digest("x") != two.repository.dataset_digest("x")


def _append(folder: Path, rows: "Rows", name: str, count: int) -> None:
    with Store(folder) as store:
        for number in range(count):
            judgment = rows.judgment(number).model_copy(update={"id": f"{name}-{number}"})
            store.repository.append_judgments("demo", [judgment])


def test_two_processes_append_and_the_chain_holds(store: Store, tmp_path: Path, rows: "Rows") -> None:
    context = multiprocessing.get_context("fork")
    store.close()
    writers = [context.Process(target=_append, args=(tmp_path, rows, name, 15)) for name in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    stored = store.repository.judgments("demo")
    assert len(stored) == 30
    assert all(later.prev_hash == earlier.hash for earlier, later in pairwise(stored))
    report = store.verify()
    assert (report.broken, report.unsealed_entries) == (None, 0)


def test_twenty_thousand_judgments_in_one_append(tmp_path: Path, rows: "Rows", database: Database) -> None:
    with Store(tmp_path, create=True) as store:
        rows.add_to(store)
        chained: list[Judgment] = store.repository.append_judgments("demo", rows.judgments(20_000))
        assert len({judgment.hash for judgment in chained}) == 20_000
        assert store.verify().sealed_entries == 20_004
