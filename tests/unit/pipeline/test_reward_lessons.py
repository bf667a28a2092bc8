from typing import Any

import pytest
from judged_material import PROMPTS, judged, material

from backstay.errors import UsageError
from backstay.learn import RewardSettings
from backstay.learn.lessons import Comparison, Ranking
from backstay.pipeline.stages.reward_lessons import Judged, Material, Teaching, harm_of_rows
from backstay.records import Choice, Judgment, Pair, Response, Task

TRUST = {"ann": 0.9, "bob": 0.8, "cid": 0.9, "dan": 0.4}
SAID = [(rater, pair, "a") for rater in TRUST for pair in range(PROMPTS)]


def settings(**changes: Any) -> RewardSettings:
    return RewardSettings(**({"members": 3, "split": "raters"} | changes))


def test_bootstrap_members_share_all_pairs_but_the_held_ones() -> None:
    found = material()
    held = {found.prompts[0].id, found.prompts[4].id}
    curricula = Teaching(found, judged(found, {}, []), settings(split="bootstrap")).curricula(held)
    assert curricula == [[c for i, c in enumerate(found.comparisons) if i not in (0, 4)]] * 3


def test_holding_every_pair_out_is_an_error() -> None:
    found = material()
    teaching = Teaching(found, judged(found, {}, []), settings(split="bootstrap"))
    with pytest.raises(UsageError, match="outside the 9 held-out prompts"):
        teaching.curricula({prompt.id for prompt in found.prompts})


def test_members_learn_from_the_judgments_of_their_own_raters() -> None:
    found = material()
    teaching = Teaching(found, judged(found, {}, SAID, TRUST), settings())
    assert sorted(teaching.shard_of.values()) == [0, 1, 2] and "dan" not in teaching.shard_of
    curricula = teaching.curricula({found.prompts[0].id})
    for rater, shard in teaching.shard_of.items():
        share = (2 * TRUST[rater] - 1) / (0.8 + 0.6 + 0.8)
        for lesson, own in zip(curricula[shard], found.comparisons[1:], strict=True):
            assert isinstance(lesson, Comparison)
            assert (lesson.a, lesson.b) == (own.a, own.b)
            assert (lesson.p_a, lesson.weight) == pytest.approx((TRUST[rater], share * own.weight))
    facts = teaching.facts(curricula)
    assert facts["shards"] == [{"raters": 1, "lessons": PROMPTS - 1}] * 3


def test_the_weight_of_a_pair_is_divided_among_the_shards() -> None:
    found = material()
    said = [
        (rater, pair, side) for rater, side in (("ann", "a"), ("bob", "b"), ("cid", "=")) for pair in range(PROMPTS)
    ]
    curricula = Teaching(found, judged(found, {}, said, TRUST), settings()).curricula(set())
    for lessons in zip(*curricula, strict=True):
        assert sum(lesson.weight for lesson in lessons) == pytest.approx(1.0)


def test_a_member_whose_raters_judged_nothing_is_an_error() -> None:
    found = material()
    said = [*(("ann", pair, "a") for pair in range(PROMPTS)), ("bob", 0, "a"), ("cid", 0, "b")]
    teaching = Teaching(found, judged(found, {}, said, TRUST), settings())
    assert all(teaching.curricula(set()))
    with pytest.raises(UsageError, match="the raters of member [0-2], [0-2] judged no pair that may teach"):
        teaching.curricula({found.prompts[0].id})


def ranked() -> tuple[Material, Judged]:
    """The material with one more prompt-0 response and a task of three over them, ranked by ann and bob."""
    found = material()
    x, y = found.responses[:2]
    z = Response.make(x.prompt_id, "r2", policy="sft")
    responses = [*found.responses, z]
    found.rows.responses.append([4])  # type: ignore[attr-defined]  # a list here
    found.rows.prompt_of.append(0)  # type: ignore[attr-defined]  # as above
    more = [
        Pair(id=f"more{i}", prompt_id=x.prompt_id, a=a.id, b=z.id, p_a=0.6, weight=1.0) for i, a in enumerate((x, y))
    ]
    whole = Material(found.prompts, responses, found.rows, [*found.pairs, *more], [], 0)
    whole.comparisons.extend(whole.comparison(pair) for pair in whole.pairs)
    pairs_only = judged(found, {}, SAID, TRUST)
    three = Task.make(x.prompt_id, (x.id, y.id, z.id))
    judgments = [
        Judgment(
            id=f"{rater} three",
            task_id=three.id,
            rater_id=rater,
            order_shown=(),
            choice=Choice(ranking=((2,), (0, 1))),
            created_at="2026-01-02T00:00:00Z",
        )
        for rater in ("ann", "dan")
    ]
    return whole, Judged([*pairs_only.tasks, three], [*pairs_only.judgments, *judgments], [], pairs_only.trust)


def test_rankings_teach_instead_of_the_pairs_that_they_hold() -> None:
    found, said = ranked()
    teaching = Teaching(found, said, settings(split="bootstrap", rankings=True))
    lessons = teaching.curricula(set())[0]
    assert lessons[:-1] == found.comparisons[:PROMPTS]  # x over y was also asked alone; the two pairs with z were not
    assert lessons[-1] == Ranking(((18,), (0, 1)), 2 * 0.9 - 1)
    assert teaching.curricula({found.prompts[0].id})[0] == found.comparisons[1:PROMPTS]
    facts = teaching.facts([lessons])
    assert (facts["rankings"], facts["pairs_replaced_by_rankings"]) == (1, 2)
    assert facts["rankings_left_out"] == {"by a rater who is not trusted above chance": 1}


def test_a_ranking_goes_to_the_shard_of_its_rater() -> None:
    found, said = ranked()
    teaching = Teaching(found, said, settings(rankings=True))
    curricula = teaching.curricula(set())
    where = [shard for shard, own in enumerate(curricula) if any(isinstance(x, Ranking) for x in own)]
    assert where == [teaching.shard_of["ann"]]


def test_harm_needs_somebody_who_marks_it() -> None:
    found = material()
    said = judged(found, {}, SAID, TRUST)
    with pytest.raises(UsageError, match="no trusted rater marked any response"):
        harm_of_rows(found, said, set())
    marked = said.judgments[0].model_copy(update={"flags": ("harmful:1",)})
    rows = harm_of_rows(found, Judged(said.tasks, [marked, *said.judgments[1:]], [], said.trust), set())
    assert sorted(rows) == list(range(2 * PROMPTS))
    assert [row for row, label in rows.items() if label.p_harmful] == [1]


@pytest.mark.parametrize(
    ("flags", "held", "counts"),
    [
        (("harmful:1",), {0}, "16 responses .* 0 are harmful and 16 safe"),
        (("harmful:0", "harmful:1"), {*range(1, PROMPTS)}, "2 responses .* 2 are harmful and 0 safe"),
        (("harmful:1",), {*range(PROMPTS)}, "0 responses .* 0 are harmful and 0 safe"),
    ],
)
def test_a_cost_model_needs_both_sides_outside_the_held_prompts(
    flags: tuple[str, ...], held: set[int], counts: str
) -> None:
    found = material()
    said = judged(found, {}, [("ann", pair, "a") for pair in range(PROMPTS)], TRUST)
    marked = said.judgments[0].model_copy(update={"flags": flags})
    marks = Judged(said.tasks, [marked, *said.judgments[1:]], [], said.trust)
    assert len(harm_of_rows(found, marks, {found.prompts[1].id})) == 2 * PROMPTS
    with pytest.raises(UsageError, match=counts) as error:
        harm_of_rows(found, marks, {found.prompts[i].id for i in held})
    assert "reward.heldout_share" in str(error.value.cure)
