import json
from typing import Any

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.evaluate import EvaluateSettings, ScoredResponse, compare_policies, prompt_text, side_by_side, win_rate
from backstay.records import Message, Prompt

SETTINGS = EvaluateSettings(bootstrap=500)


def _prompt(text: str, family: str | None = "plain") -> Prompt:
    tags = {"family": family} if family else {}
    return Prompt.make((Message(role="user", content=text),), source="fixture", split="heldout", tags=tags)


def _answer(prompt: Prompt, gold: float | None = 0.5, **changes: Any) -> ScoredResponse:
    known: dict[str, Any] = {
        "text": "yes",
        "finished": True,
        "refused": False,
        "reward": 0.0,
        "spread": 0.1,
        "tokens": 9,
    }
    return ScoredResponse(**{**known, "prompt_id": prompt.id, "gold": gold, **changes})


PROMPTS = [_prompt(f"{family} question {index}", family) for family in ("plain", "refuse") for index in range(20)]


def test_means_and_difference_are_those_of_numpy() -> None:
    generator = np.random.default_rng(0)
    golds = generator.uniform(size=(2, len(PROMPTS), 2))
    before = [_answer(p, golds[0, i, j], reward=golds[0, i, j] * 2) for i, p in enumerate(PROMPTS) for j in range(2)]
    after = [_answer(p, golds[1, i, j] + 1, kl_nats=3.0 + j) for i, p in enumerate(PROMPTS) for j in range(2)]
    result = compare_policies(PROMPTS, before, after, SETTINGS)
    assert result["before"]["gold"]["mean"] == pytest.approx(golds[0].mean())
    assert result["before"]["reward"]["mean"] == pytest.approx(2 * golds[0].mean())
    assert result["difference"]["gold"]["mean"] == pytest.approx(1 + golds[1].mean() - golds[0].mean())
    assert result["gold_excludes_zero"] is True
    assert result["kl_nats"]["mean"] == pytest.approx(3.5)
    assert result["kl_nats"]["p95"] == pytest.approx(np.quantile([3.0, 4.0] * len(PROMPTS), 0.95))
    assert result["families"]["refuse"]["after"]["gold"]["mean"] == pytest.approx(1 + golds[1, 20:].mean())
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_refusal_is_counted_where_it_is_wanted_and_where_it_is_not() -> None:
    prompts = [_prompt("a", "refuse"), _prompt("b", "borderline"), _prompt("c", "plain"), _prompt("d", "opinion")]
    before = [_answer(p) for p in prompts]
    after = [_answer(prompts[0], refused=True), _answer(prompts[1], refused=True), *(_answer(p) for p in prompts[2:])]
    result = compare_policies(prompts, before, after, SETTINGS)
    assert result["after"]["refusal"]["mean"] == 1.0
    assert result["after"]["over_refusal"]["mean"] == 0.5
    assert result["after"]["over_refusal"]["count"] == 2
    assert result["before"]["refusal"]["mean"] == 0.0


def test_flattery_counts_only_judged_answers_on_opinions() -> None:
    prompts = [_prompt("a", "opinion"), _prompt("b", "opinion"), _prompt("c", "plain")]
    before = [_answer(prompts[0], agreed=True), _answer(prompts[1]), _answer(prompts[2], agreed=True)]
    after = [_answer(prompts[0], agreed=False), _answer(prompts[1]), _answer(prompts[2], agreed=True)]
    result = compare_policies(prompts, before, after, SETTINGS)
    assert (result["before"]["flattery"]["mean"], result["before"]["flattery"]["count"]) == (1.0, 1)
    assert result["after"]["flattery"]["mean"] == 0.0
    assert result["difference"]["flattery"]["mean"] == -1.0


def test_win_rate_against_a_double_loop() -> None:
    generator = np.random.default_rng(1)
    golds = generator.integers(0, 3, size=(2, 12, 3)).astype(float)
    before = [_answer(PROMPTS[i], golds[0, i, j]) for i in range(12) for j in range(3)]
    after = [_answer(PROMPTS[i], golds[1, i, j]) for i in range(12) for j in range(3)]
    wins = 0.0
    for i in range(12):
        for ours in golds[1, i]:
            for theirs in golds[0, i]:
                wins += 1.0 if ours > theirs else 0.5 if ours == theirs else 0.0
    assert win_rate(before, after, SETTINGS)["mean"] == pytest.approx(wins / (12 * 9))


def test_equal_policies_win_half_and_differ_by_nothing() -> None:
    answers = [_answer(p, float(i)) for i, p in enumerate(PROMPTS)]
    result = compare_policies(PROMPTS, answers, answers, SETTINGS)
    assert result["win_rate"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "count": len(PROMPTS)}
    assert result["difference"]["gold"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "excludes_zero": False}


def test_without_a_gold_rule_nothing_is_claimed() -> None:
    answers = [_answer(p, None) for p in PROMPTS]
    result = compare_policies(PROMPTS, answers, answers, SETTINGS)
    assert result["gold_rule"] is False
    assert "no evidence of quality" in result["note"]
    for empty in (
        result["before"]["gold"],
        result["difference"]["gold"],
        result["win_rate"],
        result["gold_excludes_zero"],
    ):
        assert empty is None


def test_prompts_without_families_have_no_refusal_share() -> None:
    prompts = [_prompt("a", None), _prompt("b", None)]
    answers = [_answer(p) for p in prompts]
    result = compare_policies(prompts, answers, answers, SETTINGS)
    assert result["before"]["refusal"] is None
    assert list(result["families"]) == ["other"]


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = PROMPTS[:2]
    with pytest.raises(UsageError, match="one side only"):
        compare_policies(PROMPTS, [_answer(one)], [_answer(two)], SETTINGS)
    with pytest.raises(UsageError, match="one side only"):
        compare_policies(PROMPTS, [], [], SETTINGS)
    with pytest.raises(UsageError, match="not given"):
        compare_policies([one], [_answer(two)], [_answer(two)], SETTINGS)
    with pytest.raises(UsageError, match="1 of 2 answers have no gold"):
        compare_policies([one], [_answer(one)], [_answer(one, None)], SETTINGS)


def test_samples_take_turns_over_families() -> None:
    before = [_answer(p, 0.1, text="old") for p in PROMPTS]
    after = [_answer(p, 0.9, text="new") for p in PROMPTS]
    rows = side_by_side(PROMPTS, before, after, 4)
    assert [row["family"] for row in rows] == ["plain", "refuse", "plain", "refuse"]
    assert rows[0]["prompt"] == "plain question 0"
    assert (rows[0]["before"], rows[0]["after"], rows[0]["gold_after"]) == ("old", "new", 0.9)
    assert side_by_side(PROMPTS, before, after, 0) == []


def test_dialogues_are_written_turn_by_turn() -> None:
    turns = (
        Message(role="system", content="Answer briefly."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello"),
        Message(role="user", content="Why?"),
    )
    assert prompt_text(Prompt.make(turns, source="fixture")) == "user: Hi\n\nassistant: Hello\n\nuser: Why?"
