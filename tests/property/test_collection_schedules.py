"""Whatever raters and leads do in whatever order, nothing is lost or doubled, and every count equals a recount."""

import json
import random
import tempfile
from collections import Counter
from pathlib import Path

import collection_world
import pytest
from collection_crowd import ACTS, RATERS, SETTINGS, Crowd
from collection_world import World, world
from databases import ONLY_POSTGRESQL, Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recount import check_counts, check_settled
from sqlalchemy import select

from backstay.feedback.collection import ProjectSettings
from backstay.storage import SealLog, verify_journal
from backstay.storage.console_tables import assignments

pytestmark = pytest.mark.property

ANY_ACT = st.tuples(st.sampled_from(ACTS), st.sampled_from(RATERS), st.sampled_from((0, 1, None)))
TWICE = SETTINGS.model_copy(update={"prompts_again": 2})


def check(found: World, crowd: Crowd) -> None:
    """Counts as they are, and once more after changes of settings are carried through."""
    with found.engine.connect() as connection:
        check_counts(connection)
    for rater in RATERS:
        crowd.do("change", rater, 0)
        crowd.do("resettle", rater, 0)
        with found.engine.connect() as connection:
            check_settled(connection)
    with found.engine.connect() as connection:
        check_counts(connection)
        judged = connection.execute(select(assignments).where(assignments.c.state == "judged")).all()
    assert Counter(row.rater_id for row in judged) == Counter({who: n for who, n in crowd.standing.items() if n})
    everything = found.repository.all_judgments("d")
    gone = {retraction.judgment_id for retraction in found.repository.retractions("d")}
    stands = sorted(judgment.id for judgment in everything if judgment.id not in gone)
    assert stands == sorted(name for row in judged for name in json.loads(row.judgment_ids))
    assert len({judgment.id for judgment in everything}) == len(everything) == crowd.judgments
    assert verify_journal(found.engine, SealLog(())).broken is None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=st.lists(ANY_ACT, min_size=1, max_size=80), chosen=st.sampled_from((SETTINGS, TWICE)))
def test_counts_equal_a_recount_and_every_acknowledged_judgment_stands_once(
    acts: list[tuple[str, str, int | None]], chosen: ProjectSettings
) -> None:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), 12, gold=2, settings=chosen) as found:
        crowd = Crowd(found)
        for act in acts:
            crowd.do(*act)
        check(found, crowd)


@ONLY_POSTGRESQL
@pytest.mark.parametrize("seed", range(3))
def test_the_same_on_postgresql(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(collection_world, "place", database.url)
    rng = random.Random(seed)
    with world(tmp_path, 12, gold=2, settings=(SETTINGS, TWICE)[seed % 2]) as found:
        crowd = Crowd(found)
        for _ in range(120):
            crowd.do(rng.choice(ACTS), rng.choice(RATERS), rng.choice((0, 1, None)))
        check(found, crowd)
        assert sum(crowd.standing.values()) > 5
