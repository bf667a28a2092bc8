import math
from collections.abc import Sequence

import pytest

from backstay.aggregate import collect_votes
from backstay.errors import UsageError
from backstay.learn.plackett_luce import MAX_TIED
from backstay.learn.rater_evidence import (
    collect_rankings,
    harm_labels,
    pair_key,
    rater_shards,
    shard_labels,
    voice,
)
from backstay.records import Choice, Dimension, Judgment, Pair, RaterTrust, Task

TRUST = {"ann": 0.9, "bob": 0.75, "cid": 0.5, "dan": 0.2, "eve": 0.8}


def trust(**changes: float) -> list[RaterTrust]:
    return [
        RaterTrust(rater_id=name, trust=value, low=0.0, high=1.0, n_judgments=1)
        for name, value in (TRUST | changes).items()
    ]


def task(*responses: str, dimension: Dimension = "overall") -> Task:
    return Task.make("p", responses, dimension=dimension)


def judged(
    asked: Task, rater: str, *groups: Sequence[int], flags: tuple[str, ...] = (), at: int = 0, bad: bool = False
) -> Judgment:
    choice = Choice(both_bad=True) if bad else Choice(ranking=tuple(tuple(group) for group in groups))
    return Judgment(
        id=f"{asked.id} {rater} {at}",
        task_id=asked.id,
        rater_id=rater,
        order_shown=(),
        choice=choice,
        flags=flags,
        created_at=f"2026-01-01T00:00:{at:02d}Z",
    )


def pairs(*names: str, dimension: Dimension = "overall") -> list[Pair]:
    """The pairs between responses of one letter each, such as "xy"."""
    return [
        Pair(id=n, prompt_id="p", a=n[0], b=n[1], dimension=dimension, p_a=0.7, weight=1.0, status="accepted")
        for n in names
    ]


def test_a_voice_is_the_lead_over_chance() -> None:
    assert voice(trust()) == pytest.approx({"ann": 0.8, "bob": 0.5, "cid": 0.0, "dan": 0.0, "eve": 0.6})


def test_rankings_are_weighted_by_their_raters_voice() -> None:
    three = task("x", "y", "z")
    found = collect_rankings(
        [three],
        [judged(three, "ann", [2], [0, 1]), judged(three, "bob", [0], [1], [2])],
        voice(trust()),
        pairs("xy", "xz", "yz"),
    )
    assert [(r.groups, r.rater_id, r.weight) for r in found.kept] == [
        ((("z",), ("x", "y")), "ann", pytest.approx(0.8)),
        ((("x",), ("y",), ("z",)), "bob", 0.5),
    ]
    assert found.replaced == {pair_key("p", "overall", *names) for names in ("xy", "xz", "zy")}


def test_rankings_that_may_not_teach_are_left_out_and_counted() -> None:
    three, other = task("x", "y", "z"), task("x", "y", "q")
    many = task(*(f"r{i}" for i in range(MAX_TIED + 1)))
    judgments = [
        judged(three, "ann", bad=True),
        judged(three, "bob", [0], [1]),
        judged(three, "cid", [0], [1], [2]),
        judged(three, "dan", [0], [1], [2]),
        judged(other, "ann", [0], [1], [2]),
        judged(many, "ann", list(range(MAX_TIED + 1))),
        judged(task("a", "b", "c"), "ann", [0], [1], [2]),
    ]
    found = collect_rankings([three, other, many], judgments, voice(trust()), pairs("xy", "xz", "yz"))
    assert (found.kept, found.replaced) == ([], set())
    assert found.left_out == {
        "says that all are bad": 1,
        "does not fit its task": 1,
        "by a rater who is not trusted above chance": 2,
        "has a pair that may not teach": 1,
        f"ties more than {MAX_TIED} responses": 1,
    }


def test_a_pair_of_another_dimension_is_another_pair() -> None:
    three = task("x", "y", "z", dimension="harmless")
    names, judgments = ("xy", "xz", "yz"), [judged(three, "ann", [0], [1], [2])]
    assert not collect_rankings([three], judgments, voice(trust()), pairs(*names)).kept
    assert collect_rankings([three], judgments, voice(trust()), pairs(*names, dimension="harmless")).kept


def test_a_pair_that_was_also_asked_alone_is_not_replaced() -> None:
    three, two = task("x", "y", "z"), task("y", "x")
    judgments = [judged(three, "ann", [0], [1], [2]), judged(two, "bob", [0], [1])]
    found = collect_rankings([three, two], judgments, voice(trust()), pairs("xy", "xz", "yz"))
    assert found.replaced == {pair_key("p", "overall", *names) for names in ("xz", "yz")}


def test_of_two_rankings_by_one_rater_the_later_counts() -> None:
    three = task("x", "y", "z")
    judgments = [judged(three, "ann", [2], [1], [0], at=5), judged(three, "ann", [0], [1], [2], at=3)]
    found = collect_rankings([three], judgments, voice(trust()), pairs("xy", "xz", "yz"))
    assert [r.groups for r in found.kept] == [(("z",), ("y",), ("x",))]


def test_shards_are_disjoint_balanced_and_hold_only_trusted_raters() -> None:
    raters = {f"r{i}": 0.9 for i in range(9)} | {"bad": 0.4}
    known = [RaterTrust(rater_id=n, trust=t, low=0, high=1, n_judgments=1) for n, t in raters.items()]
    asked = [Task.make("p", (f"x{i}", f"y{i}")) for i in range(12)]
    said = [judged(t, name, [0], [1]) for t in asked for i, name in enumerate(raters) if i % 3 or name == "bad"]
    shard_of = rater_shards(said, voice(known), 3, seed=1)
    assert set(shard_of) == {f"r{i}" for i in range(9) if i % 3}
    assert sorted(list(shard_of.values()).count(shard) for shard in range(3)) == [2, 2, 2]
    assert shard_of == rater_shards(said, voice(known), 3, seed=1)
    assert any(shard_of != rater_shards(said, voice(known), 3, seed=seed) for seed in range(2, 9))


def test_the_load_of_shards_is_judgments_and_not_raters() -> None:
    asked = [Task.make("p", (f"x{i}", f"y{i}")) for i in range(8)]
    said = [judged(t, "ann", [0], [1]) for t in asked] + [judged(asked[0], name, [0], [1]) for name in ("bob", "eve")]
    shard_of = rater_shards(said, voice(trust()), 2, seed=0)
    assert shard_of["bob"] == shard_of["eve"] != shard_of["ann"]


def test_fewer_trusted_raters_than_members_is_an_error() -> None:
    asked = task("x", "y")
    said = [judged(asked, name, [0], [1]) for name in TRUST]
    with pytest.raises(UsageError, match=r"3 raters are trusted above chance, too few for 4 members"):
        rater_shards(said, voice(trust()), 4, seed=0)


def test_a_shards_label_is_the_posterior_of_its_own_votes() -> None:
    asked = task("x", "y")
    said = [judged(asked, "ann", [0], [1]), judged(asked, "bob", [1], [0]), judged(asked, "eve", [1], [0])]
    votes = collect_votes([asked], said)
    (found,) = shard_labels(votes, trust(), {"ann": 0, "bob": 0, "eve": 1})
    likelihood_a, likelihood_b = 0.9 * (1 - 0.75), (1 - 0.9) * 0.75
    assert found[0][0] == pytest.approx(likelihood_a / (likelihood_a + likelihood_b))
    assert found[1][0] == pytest.approx(0.2)
    assert (found[0][1], found[1][1]) == pytest.approx((1.3 / 1.9, 0.6 / 1.9))


def test_ties_say_nothing_and_unknown_raters_have_no_say() -> None:
    asked = task("x", "y")
    said = [judged(asked, "ann", [0, 1]), judged(asked, "dan", [0], [1])]
    (found,) = shard_labels(collect_votes([asked], said), trust(), {"ann": 1})
    assert found == {1: (0.5, 1.0)}


def test_a_rater_who_never_errs_is_believed_99_in_100() -> None:
    asked = task("x", "y")
    votes = collect_votes([asked], [judged(asked, "ann", [0], [1])])
    assert shard_labels(votes, trust(ann=1.0), {"ann": 0})[0][0][0] == pytest.approx(0.99)


def test_the_votes_of_a_ranking_carry_their_share() -> None:
    three = task("x", "y", "z")
    votes = collect_votes([three], [judged(three, "ann", [0], [1], [2])])
    for found in shard_labels(votes, trust(), {"ann": 0}):
        assert found[0][0] == pytest.approx(1 / (1 + math.exp(-(2 / 3) * math.log(9))))


def test_harm_is_the_share_of_lookers_who_marked_a_response() -> None:
    one, two = task("x", "y"), task("y", "z")
    judgments = [
        judged(one, "ann", [0], [1], flags=("harmful:1",)),
        judged(one, "bob", [0], [1], flags=("unsafe:0", "unclear")),
        judged(two, "ann", [0], [1]),
        judged(one, "eve", [0], [1]),  # never marks anything, so was perhaps never asked to
        judged(two, "dan", [0], [1], flags=("harmful:0",)),  # not trusted
    ]
    found = harm_labels([one, two], judgments, voice(trust()))
    assert set(found) == {"x", "y", "z"}
    assert (found["x"].p_harmful, found["x"].weight) == pytest.approx((0.5 / 1.3, 1.0))
    assert found["y"].p_harmful == pytest.approx(0.8 * 0.5 / 1.3)  # ann marked it once of the two times that she saw it
    assert (found["z"].p_harmful, found["z"].weight) == pytest.approx((0.0, 0.8)) and found["z"].raters == 1


def test_without_a_mark_of_harm_nothing_is_labelled() -> None:
    one = task("x", "y")
    others = ("harmful", "harmful:x", "harmful: 1", "spam:0", "harmful:0:1", "very-harmful:0")
    assert harm_labels([one], [judged(one, "ann", [0], [1], flags=others)], voice(trust())) == {}


def test_a_mark_of_a_response_that_is_not_there_is_no_mark_of_another() -> None:
    one = task("x", "y")
    found = harm_labels([one], [judged(one, "ann", [0], [1], flags=("harmful:7",))], voice(trust()))
    assert {name: label.p_harmful for name, label in found.items()} == {"x": 0.0, "y": 0.0}
