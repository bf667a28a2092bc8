from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest
from bloc_crowds import crowd_columns, ring_columns
from crowd_simulator import Crowd, simulate

from backstay.aggregate import AggregateSettings, Votes, aggregate, collect_votes, fit_columns
from backstay.aggregate.fitted import fit_votes
from backstay.aggregate.judgment_marks import Marks
from backstay.aggregate.same_source import (
    NEAR_S,
    REPEATED,
    SameSource,
    given_together,
    near_votes,
    nothing_shared,
    same_source,
    shared_values,
    starts_of,
)

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
COPIED = "Both replies are fluent, yet only one of them keeps to the facts, number {}."


def random_votes(seed: int, *, span_s: float, raters: int = 12, items: int = 60) -> Votes:
    """Votes with times uniform in `span_s`, some unknown."""
    rng = np.random.default_rng(seed)
    crowd = simulate(seed, raters=raters, items=items, per_item=5)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    n = len(votes.judgment_digests)
    created = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0.0, span_s, n))
    return replace(votes, marks=Marks(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), created))


def test_values_that_several_bear_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    rater, mark = rng.integers(0, 9, 80), rng.integers(0, 30, 80)
    shared = shared_values(rater, mark)
    expected = {}
    for value in set(mark.tolist()) - {0}:
        who = rater[mark == value].tolist()
        if len(set(who)) > 1:
            expected[value] = {r: who.count(r) for r in set(who)}
    found: dict[int, dict[int, int]] = {}
    for r, value, uses in zip(*(column.tolist() for column in shared), strict=True):
        found.setdefault(value, {})[r] = uses
    assert sorted(map(sorted, (row.items() for row in found.values()))) == sorted(
        map(sorted, (row.items() for row in expected.values()))
    )
    assert shared_values(rater, np.zeros(80, dtype=np.int64)).rater.size == 0


def test_judgments_given_together_by_brute_force() -> None:
    votes = random_votes(1, span_s=400.0)
    created = votes.marks.created_s[votes.judgment]
    pairs: dict[tuple[int, int], int] = {}
    for one, other in combinations(range(votes.item.size), 2):
        if votes.item[one] == votes.item[other] and abs(created[one] - created[other]) <= NEAR_S:
            low, high = sorted((int(votes.rater[one]), int(votes.rater[other])))
            pairs[low, high] = pairs.get((low, high), 0) + 1
    assert near_votes(votes)[0].size == sum(pairs.values()) > 0
    often = {pair for pair, count in pairs.items() if count >= REPEATED}
    shared = given_together(votes)
    assert {tuple(row) for row in shared.rater.reshape(-1, 2).tolist()} == often


@pytest.mark.parametrize("span_s", [0.0, 10.0])
def test_times_of_batches_tell_nothing(span_s: float) -> None:
    assert same_source(random_votes(2, span_s=span_s)).signals == {}


def test_starts_are_small_groups_that_share_something_unusual() -> None:
    rater = np.array([0, 1, 2, 3, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    mark = np.array([5, 5, 6, 6, 0, 7, 7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
    shared = shared_values(rater, mark)
    judged = np.bincount(rater, minlength=12)
    for name in ("rationale", "client"):
        starts = starts_of(SameSource(judged, judged, {name: shared}))
        assert {tuple(np.flatnonzero(start > 0.5).tolist()) for start in starts} == {(0, 1), (2, 3)}
    chain = shared_values(np.array([0, 1, 1, 2]), np.array([1, 1, 2, 2]))
    assert [np.flatnonzero(s > 0.5).tolist() for s in starts_of(SameSource(judged, judged, {"rationale": chain}))] == [
        [0, 1, 2]
    ]
    assert starts_of(nothing_shared(12)) == ()


@pytest.mark.parametrize(
    ("seed", "raters", "items", "per_item", "ring"), [(1, 3000, 6000, 3, 6), (2, 2000, 4000, 4, 5)]
)
def test_a_sparse_ring_is_found_from_what_it_shares(
    seed: int, raters: int, items: int, per_item: int, ring: int
) -> None:
    columns = ring_columns(seed, raters=raters, items=items, per_item=per_item, ring=ring, shared=70)
    text = shared_values(np.arange(ring), np.ones(ring, dtype=np.int64))
    judged = np.bincount(columns.rater, minlength=raters)
    starts = starts_of(SameSource(judged, judged, {"rationale": text}))
    settings = AggregateSettings()
    assert fit_columns(columns, settings).blocs == ()
    found = fit_columns(columns, settings, starts=starts).blocs
    assert [np.flatnonzero(bloc.membership > 0.5).tolist() for bloc in found] == [list(range(ring))]


def test_independent_raters_who_share_a_client_are_no_bloc() -> None:
    columns = crowd_columns(3, raters=60, items=600, per_item=5, bloc=0)
    for office in (5, 12, 25):
        start = np.where(np.arange(60) < office, 0.95, 1e-3)
        assert fit_columns(columns, AggregateSettings(), starts=(start,)).blocs == ()


def marked(crowd: Crowd, members: set[str]) -> Crowd:
    """The crowd with copied rationales and a client of their own for members, and times far apart for all."""
    judgments = []
    for k, judgment in enumerate(crowd.judgments):
        said = COPIED.format(k % 4) if judgment.rater_id in members else f"A reason of its own for pair {k}, at length."
        client = "script" if judgment.rater_id in members else "web"
        at = (EPOCH + timedelta(minutes=k)).isoformat()
        judgments.append(judgment.model_copy(update={"rationale": said, "client": client, "created_at": at}))
    return replace(crowd, judgments=judgments)


def test_honest_raters_of_one_office_are_named_by_nobody() -> None:
    crowd = simulate(4, raters=30, items=300)
    office = {f"rater-{r:03d}" for r in range(7)}
    judgments = [j.model_copy(update={"client": "office" if j.rater_id in office else "web"}) for j in crowd.judgments]
    found = aggregate(crowd.tasks, judgments)
    assert found.summary["blocs"] == []
    assert found.summary["same_source"] == []
    plain = aggregate(crowd.tasks, crowd.judgments)
    assert [rater.trust for rater in found.trust] == [rater.trust for rater in plain.trust]
    assert not any("acts as one" in note for rater in found.trust for note in rater.notes)


def test_what_a_bloc_shares_is_its_evidence() -> None:
    crowd = simulate(0, raters=40, items=400, bloc=0.25)
    bloc = {name for name, kind in crowd.kind.items() if kind == "bloc"}
    crowd = marked(crowd, bloc)
    found = aggregate(crowd.tasks, crowd.judgments)
    (row,) = found.summary["blocs"]
    assert set(row["same_source"]) == {"rationale", "client"}
    for signal in row["same_source"].values():
        assert signal["shared"] > signal["expected"]
        assert signal["p_corrected"] <= 0.05
    notes = {rater.rater_id: " ".join(rater.notes) for rater in found.trust}
    assert all("; they share rationales and clients beyond chance" in notes[name] for name in bloc)
    assert found.summary["same_source"] == [], "a bloc explains the copies"


def test_copies_without_a_bloc_are_an_alarm_that_costs_nothing() -> None:
    crowd = simulate(5, raters=30, items=300)
    copiers = {f"rater-{r:03d}" for r in range(4)}
    plain = aggregate(crowd.tasks, crowd.judgments)
    crowd = marked(crowd, copiers)
    found = aggregate(crowd.tasks, crowd.judgments)
    assert found.summary["blocs"] == []
    (row,) = found.summary["same_source"]
    assert set(row["raters"]) == copiers
    assert row["texts"] == 4
    assert row["false_alarms"] <= 0.01
    assert [rater.trust for rater in found.trust] == [rater.trust for rater in plain.trust]
    assert [pair.p_a for pair in found.pairs] == [pair.p_a for pair in plain.pairs]


def test_without_signals_and_with_broken_ones_nothing_changes() -> None:
    crowd = simulate(1, raters=20, items=150, bloc=0.3)
    off = AggregateSettings(same_source=False)
    kinds = [("no time", "ok"), ("", ""), ("0T0", "\u2028 " * 99), ("9" * 99, "\x00" * 99)]
    broken = [
        j.model_copy(update={"created_at": kinds[k % 4][0], "rationale": kinds[k % 4][1]})
        for k, j in enumerate(crowd.judgments)
    ]
    for judgments in (crowd.judgments, broken):
        votes = collect_votes(crowd.tasks, judgments)
        none = np.zeros(votes.n_items, dtype=np.bool_)
        on, without = (fit_votes(votes, none, {}, settings) for settings in (AggregateSettings(), off))
        assert on.starts == ()
        assert np.array_equal(on.fit.log_odds, without.fit.log_odds)
        assert [group.false_alarms for group in on.groups] == [group.false_alarms for group in without.groups]
        assert all(group.evidence == () for group in on.groups)
