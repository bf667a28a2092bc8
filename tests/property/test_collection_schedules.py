"""Whatever raters do in whatever order, nothing is lost or doubled, and every count equals a recount."""

import contextlib
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from collection_world import World, verdict, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from backstay.feedback.collection import (
    Assignment,
    ProjectSettings,
    Rejected,
    all_stats,
    expire,
    issue,
    renew,
    skip,
    submit,
    undo,
)
from backstay.feedback.collection.items import item_of
from backstay.storage import SealLog, verify_journal
from backstay.storage.console_tables import assignments, items, vote_patterns

pytestmark = pytest.mark.property

RATERS = ("ann", "bob", "cid", "dan")
ACTS = st.tuples(
    st.sampled_from(("next", "judge", "judge", "judge", "again", "skip", "undo", "renew", "wait", "expire", "late")),
    st.sampled_from(RATERS),
    st.sampled_from((0, 1, None)),
)
SETTINGS = ProjectSettings(votes=2, most_votes=3, gold_share=0.2, repeat_share=0.3, lease_s=60, prompts_again=1)


class Crowd:
    """What the raters know of what they did, to hold the database against."""

    def __init__(self, found: World) -> None:
        self.found = found
        self.had: dict[str, list[Assignment]] = {rater: [] for rater in RATERS}
        self.standing: Counter[str] = Counter()

    def do(self, act: str, rater: str, winner: int | None) -> None:
        """One act; what is refused changes nothing."""
        with contextlib.suppress(Rejected):
            getattr(self, f"_{act}")(rater, winner)

    def _next(self, rater: str, _: int | None) -> None:
        issued = self.found.do(lambda unit: issue(unit, self.found.project, rater, self.found.secret))
        if issued.assignment is not None and issued.assignment not in self.had[rater]:
            self.had[rater].append(issued.assignment)

    def _judge(self, rater: str, winner: int | None) -> None:
        self._next(rater, None)
        if self.had[rater]:
            self._submit(rater, self.had[rater][-1], winner)

    def _late(self, rater: str, winner: int | None) -> None:
        if self.had[rater]:
            self._submit(rater, self.had[rater][0], winner)

    def _again(self, rater: str, winner: int | None) -> None:
        if self.had[rater]:
            self._submit(rater, self.had[rater][-1], winner)
            self._submit(rater, self.had[rater][-1], winner)

    def _submit(self, rater: str, assigned: Assignment, winner: int | None) -> None:
        sent = verdict(assigned, winner)
        self.found.now_ms += 1000
        taken = self.found.do(
            lambda unit: submit(unit, assigned.id, rater, f"key-{assigned.id}", sent, self.found.secret)
        )
        self.standing[rater] += taken.is_new
        if taken.following.assignment is not None and taken.following.assignment not in self.had[rater]:
            self.had[rater].append(taken.following.assignment)

    def _skip(self, rater: str, _: int | None) -> None:
        if self.had[rater]:
            last = self.had[rater][-1].id
            self.found.do(lambda unit: skip(unit, last, rater, f"skip-{last}", "unclear", "", self.found.secret))

    def _undo(self, rater: str, _: int | None) -> None:
        undone = self.found.do(lambda unit: undo(unit, self.found.project, rater))
        self.standing[rater] -= 1
        self.had[rater].append(undone.assignment)

    def _renew(self, rater: str, _: int | None) -> None:
        if self.had[rater]:
            self.found.do(lambda unit: renew(unit, self.had[rater][-1].id, rater))

    def _wait(self, _: str, __: int | None) -> None:
        self.found.now_ms += 40_000

    def _expire(self, _: str, __: int | None) -> None:
        self.found.do(expire)


def check_counts(found: World) -> None:
    """Recount items, raters and patterns from the assignments."""
    with found.engine.connect() as connection:
        rows = connection.execute(select(assignments)).all()
        stands = [row for row in rows if row.state == "judged" and row.purpose != "consistency"]
        votes = Counter(row.item_id for row in stands)
        leased: Counter[str] = Counter()
        leased.update(row.item_id for row in rows if row.state == "open" and row.purpose == "vote")
        patterns: Counter[str] = Counter()
        for item in map(item_of, connection.execute(select(items)).mappings()):
            labels = Counter(json.loads(row.answer)["labels"]["overall"] for row in stands if row.item_id == item.id)
            assert (item.votes, item.leased) == (votes[item.id], leased[item.id])
            assert item.counts.get("overall", {}) == dict(labels)
            if labels:
                patterns[",".join(f"{name}:{n}" for name, n in sorted(labels.items()))] += 1
        stored = {row.pattern: row.n_items for row in connection.execute(select(vote_patterns)) if row.n_items}
        assert stored == dict(patterns)
        held = Counter((row.rater_id, row.prompt_id) for row in stands)
        assert not held or max(held.values()) == 1
        open_now = Counter(row.rater_id for row in rows if row.state == "open")
        assert not open_now or max(open_now.values()) == 1
        for stats in all_stats(connection, "p"):
            own = [row for row in rows if row.rater_id == stats.rater_id]
            assert stats.judged == sum(row.state == "judged" for row in own)
            assert stats.retracted == sum(row.state == "retracted" for row in own)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=st.lists(ACTS, min_size=1, max_size=60))
def test_counts_equal_a_recount_and_every_acknowledged_judgment_stands_once(
    acts: list[tuple[str, str, int | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), 6, gold=2, settings=SETTINGS) as found:
        crowd = Crowd(found)
        for act in acts:
            crowd.do(*act)
        check_counts(found)
        everything = found.repository.all_judgments("d")
        gone = {retraction.judgment_id for retraction in found.repository.retractions("d")}
        stands = Counter(judgment.rater_id for judgment in everything if judgment.id not in gone)
        assert stands == Counter({rater: n for rater, n in crowd.standing.items() if n})
        assert len({judgment.id for judgment in everything}) == len(everything)
        assert verify_journal(found.engine, SealLog(())).broken is None
