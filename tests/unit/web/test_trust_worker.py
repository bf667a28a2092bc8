"""Trust from a project's judgments: the columns are those of the records, and both ways of reading agree."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bulk_console import DATASET, PROJECT, fill_console
from sqlalchemy import Connection, insert

from backstay.aggregate import collect_votes, columns_of
from backstay.errors import UsageError
from backstay.feedback.collection import project_of
from backstay.records import Task
from backstay.storage import Repository, open_database
from backstay.storage.tables import retractions
from backstay.web.insight.cohort_audit import LEAST, shown_labels
from backstay.web.trust_columns import each_item, read_project, settled_gold
from backstay.web.trust_worker import findings


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trust") / "console.db"
    fill_console(path, 2400, 24, seed=5)
    return path


@pytest.fixture
def connection(database: Path) -> Iterator[Connection]:
    engine = open_database(database)
    with engine.connect() as found:
        yield found
        found.rollback()
    engine.dispose()


def test_columns_are_those_of_the_records(connection: Connection) -> None:
    project = project_of(connection, PROJECT)
    found = read_project(connection, project)
    repository = Repository(connection.engine)
    gold = {item.prompt_id: best for item in each_item(connection, PROJECT)
            if (best := settled_gold(connection, project).get((item.id, "overall"))) is not None}  # fmt: skip
    asked = [Task(**task.payload() | {"gold": gold.get(task.prompt_id)}) for task in repository.tasks(DATASET)]
    votes = collect_votes(asked, repository.judgments(DATASET))
    expected = columns_of(votes, votes.gold)
    assert {votes.rater_ids[r] for r in range(votes.n_raters)} == set(found.rater_ids)
    # Both number items by prompt; raters are numbered differently, so votes of an item are compared by name.
    mine = sorted(zip(found.columns.item, [found.rater_ids[r] for r in found.columns.rater],
                      found.columns.side, found.columns.shown, strict=True))  # fmt: skip
    theirs = sorted(zip(expected.item, [votes.rater_ids[r] for r in expected.rater],
                        expected.side, expected.shown, strict=True))  # fmt: skip
    assert mine == theirs
    assert np.array_equal(found.columns.gold, expected.gold)
    assert found.judged.sum() == len(repository.judgments(DATASET))


def test_what_was_taken_back_does_not_count(connection: Connection) -> None:
    project = project_of(connection, PROJECT)
    before = read_project(connection, project)
    judgment = Repository(connection.engine).judgments(DATASET)[0]
    row = {"dataset": DATASET, "id": "x", "seq": 10**9, "record": "{}", "judgment_id": judgment.id}
    connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    connection.execute(insert(retractions), [row | {"rater_id": judgment.rater_id}])
    after = read_project(connection, project)
    assert before.columns.n_votes - after.columns.n_votes == 1


def test_both_ways_find_the_same_trust(connection: Connection) -> None:
    project = project_of(connection, PROJECT)
    whole, columns = findings(connection, project), findings(connection, project, full=0)
    assert (whole["method"], columns["method"]) == ("full", "columns")
    one = {row["rater_id"]: row for row in whole["raters"]}
    two = {row["rater_id"]: row for row in columns["raters"]}
    assert one.keys() == two.keys()
    assert max(abs(one[name]["trust"] - two[name]["trust"]) for name in one) < 0.05
    assert [one[name]["n_judgments"] for name in one] == [two[name]["n_judgments"] for name in one]
    assert [one[name]["gold_right"] for name in one] == [two[name]["gold_right"] for name in one]
    # Rater 7 lies four times in five, which gold and the others show.
    assert one["r-00007"]["trust"] == min(row["trust"] for row in whole["raters"])


def test_cohorts_are_audited_without_the_small_ones(connection: Connection) -> None:
    (audit,) = findings(connection, project_of(connection, PROJECT), full=0)["cohorts"]
    assert (audit["field"], audit["hidden"]) == ("language", 1)  # Three raters are of the cohort "xx".
    assert [row["cohort"] for row in audit["groups"]] == ["de", "en", "pt", "sw"]
    assert min(row["raters"] for row in audit["groups"]) >= LEAST
    assert audit["differences"] is None


def test_labels_of_small_cohorts_are_dropped() -> None:
    labels = ["a"] * 5 + ["b"] * 4 + [None, ""]
    assert shown_labels(labels) == (["a"] * 5 + [None] * 6, 1)


def test_without_judgments_there_is_nothing_to_find(tmp_path: Path) -> None:
    from collection_world import world

    with world(tmp_path) as made, made.engine.connect() as found, pytest.raises(UsageError, match="nobody has judged"):
        findings(found, made.project)
