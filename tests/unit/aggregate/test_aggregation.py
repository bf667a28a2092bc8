from collections.abc import Callable

import numpy as np
import pytest
from crowd_simulator import Crowd, simulate

from backstay.aggregate import AggregateSettings, Aggregation, aggregate
from backstay.records import Choice, Judgment, Task, canonical_json, content_id

FAST = AggregateSettings(folds=0)


def accuracy(crowd: Crowd, found: Aggregation) -> float:
    truth = {task.prompt_id: crowd.truth[task.id] for task in crowd.tasks if task.gold is None}
    scored = [(pair.p_a > 0.5) == (truth[pair.prompt_id] == 1) for pair in found.pairs if pair.prompt_id in truth]
    return float(np.mean(scored))


def lone(n: int = 20) -> tuple[list[Task], list[Judgment]]:
    tasks = [Task.make(f"p{i}", ("x", "y")) for i in range(n)]
    judgments = [
        Judgment(id=f"j{i}", task_id=t.id, rater_id="import", order_shown=(), choice=Choice.prefer(i % 2, 1 - i % 2),
                 created_at="2026")
        for i, t in enumerate(tasks)
    ]  # fmt: skip
    return tasks, judgments


@pytest.mark.parametrize(
    ("flippers", "bloc", "at_least"), [(0.2, 0.0, 0.9), (0.4, 0.0, 0.9), (0.0, 0.33, 0.82), (0.2, 0.2, 0.86)]
)
def test_liars_sink_and_pairs_beat_the_majority(flippers: float, bloc: float, at_least: float) -> None:
    mine, theirs = [], []
    for seed in range(4):
        crowd = simulate(seed, flippers=flippers, bloc=bloc)
        found = aggregate(crowd.tasks, crowd.judgments, FAST)
        majority = aggregate(crowd.tasks, crowd.judgments, FAST.model_copy(update={"algorithm": "majority"}))
        mine.append(accuracy(crowd, found))
        theirs.append(accuracy(crowd, majority))
        worst_first = sorted(found.trust, key=lambda t: t.trust)
        liars = sum(kind != "honest" for kind in crowd.kind.values())
        bottom = [crowd.kind[t.rater_id] != "honest" for t in worst_first[:liars]]
        assert np.mean(bottom) >= 0.85
    assert min(mine) > at_least
    assert np.mean(mine) > np.mean(theirs) + 0.05


def test_trust_intervals_cover_the_truth() -> None:
    inside = []
    for seed in range(16):
        crowd = simulate(seed, flippers=(0.0, 0.25, 0.4)[seed % 3], position_bias=0.5 * (seed % 2))
        trusts = aggregate(crowd.tasks, crowd.judgments, FAST).trust
        inside += [t.low <= crowd.accuracy[t.rater_id] <= t.high for t in trusts]
    assert 0.90 <= np.mean(inside) <= 0.99


def test_a_bloc_is_named_in_the_notes() -> None:
    crowd = simulate(5, items=600, bloc=0.25)
    found = aggregate(crowd.tasks, crowd.judgments, FAST)
    named = {t.rater_id for t in found.trust if any(note.startswith("acts as one") for note in t.notes)}
    assert len(named) >= 3
    assert all(crowd.kind[rater] == "bloc" for rater in named)
    assert found.summary["counts"]["raters_in_blocs"] == len(named)


def test_one_rater_with_one_vote_a_pair_gets_the_assumed_accuracy() -> None:
    tasks, judgments = lone()
    found = aggregate(tasks, judgments)
    assert {round(pair.p_a, 9) for pair in found.pairs} == {0.25, 0.75}
    assert all(pair.weight == 1.0 and pair.dispute == 0.0 for pair in found.pairs)
    trust = found.trust[0]
    assert trust.trust == 0.75
    assert trust.low < 0.35
    assert trust.notes[0].startswith("unverified")
    sure = aggregate(tasks, judgments, AggregateSettings(single_rater_accuracy=0.9))
    assert max(pair.p_a for pair in sure.pairs) == pytest.approx(0.9)


def test_gold_counts_and_probability() -> None:
    crowd = simulate(6, items=60, gold_share=0.5)
    found = aggregate(crowd.tasks, crowd.judgments, FAST)
    gold = {task.prompt_id: task.gold for task in crowd.tasks if task.gold is not None}
    for pair in found.pairs:
        if pair.prompt_id in gold:
            assert pair.p_a == pytest.approx(0.98 if gold[pair.prompt_id] == 0 else 0.02)
            assert pair.weight >= 1.0
    task_gold = {task.id: task.gold for task in crowd.tasks if task.gold is not None}
    for trust in found.trust:
        mine = [j for j in crowd.judgments if j.rater_id == trust.rater_id]
        anchored = [j for j in mine if j.task_id in task_gold]
        right = sum(j.choice.ranking == ((task_gold[j.task_id],), (1 - (task_gold[j.task_id] or 0),)) for j in anchored)
        assert (trust.n_judgments, trust.gold_seen, trust.gold_right) == (len(mine), len(anchored), right)


def test_provenance_and_ids() -> None:
    tasks, judgments = lone(2)
    one, other = aggregate(tasks, judgments), aggregate(tasks, judgments[::-1])
    assert [p.provenance for p in one.pairs] == [p.provenance for p in other.pairs]
    assert one.pairs[0].id == content_id("pair", ["p0", "x", "y", "overall"])
    assert one.pairs[0].provenance["judgments_digest"] != one.pairs[1].provenance["judgments_digest"]
    assert one.pairs[0].provenance["algorithm"] == "reliability"


def test_held_out_gold_is_not_seen_in_fitting() -> None:
    """Gold answers drawn by a coin cannot be predicted; an estimate far above one half would be a leak."""
    crowd = simulate(7, items=400, gold_share=0.5)
    rng = np.random.default_rng(0)
    tasks = [t if t.gold is None else t.model_copy(update={"gold": int(rng.integers(0, 2))}) for t in crowd.tasks]
    held = aggregate(tasks, crowd.judgments).summary["held_out_gold"]
    assert held["items"] > 150
    assert abs(held["reliability_accuracy"] - 0.5) < 0.12
    assert abs(held["majority_accuracy"] - 0.5) < 0.12


def test_the_held_out_estimate_is_close_to_the_truth_and_calibration_improves() -> None:
    crowd = simulate(8, items=600, flippers=0.3, gold_share=0.4)
    found = aggregate(crowd.tasks, crowd.judgments)
    held = found.summary["held_out_gold"]
    assert held["reliability_accuracy"] == pytest.approx(accuracy(crowd, found), abs=0.05)
    assert held["reliability_accuracy"] > held["majority_accuracy"] + 0.1
    assert held["ece_cooled"] <= held["ece_raw"] + 0.01
    assert canonical_json(found.summary)


def test_notes_say_no_more_than_the_interval() -> None:
    crowd = simulate(9, flippers=0.25)
    found = aggregate(crowd.tasks, crowd.judgments, FAST)
    for trust in found.trust:
        wrong = any(note.startswith("more often wrong") for note in trust.notes)
        assert wrong == (trust.high < 0.5) == (crowd.kind[trust.rater_id] == "flip")


def test_ties_draw_towards_one_half_and_disagreement_is_dispute() -> None:
    tasks = [Task.make(f"p{i}", ("x", "y")) for i in range(3)]
    sides = {0: "AAAA", 1: "AATT", 2: "AABB"}
    pick: dict[str, Callable[[], Choice]] = {
        "A": lambda: Choice.prefer(0, 1),
        "B": lambda: Choice.prefer(1, 0),
        "T": Choice.tie,
    }
    judgments = [
        Judgment(id=f"j{i}{r}", task_id=tasks[i].id, rater_id=f"r{r}", order_shown=(), choice=pick[s](),
                 created_at="2026")
        for i, text in sides.items() for r, s in enumerate(text)
    ]  # fmt: skip
    found = {pair.prompt_id: pair for pair in aggregate(tasks, judgments, FAST).pairs}
    assert found["p0"].p_a > found["p1"].p_a > 0.6
    assert found["p0"].dispute == 0.0
    assert found["p2"].dispute > 0.9
    assert found["p2"].n_raters == 4


def test_nothing_at_all_is_an_empty_aggregation() -> None:
    found = aggregate([], [])
    assert found.pairs == []
    assert found.trust == []
    assert found.summary["agreement"]["alpha"] is None


def test_a_task_without_votes_is_counted_not_emitted() -> None:
    tasks, judgments = lone(3)
    found = aggregate([*tasks, Task.make("q", ("x", "y"))], judgments)
    assert len(found.pairs) == 3
    assert found.summary["counts"]["items_without_votes_or_gold"] == 1


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="folds is 1"):
        AggregateSettings(folds=1)
