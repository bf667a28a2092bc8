import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny_loop import fresh_members, load_tiny, prompt_tokens

from backstay.learn import PpoSettings
from backstay.learn.batches import pad_dialogues
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.served_reward import Gate, Row, ServedReward

SETTINGS = PpoSettings(
    combine="deviation", uncertainty_penalty=0.5, reward_clip=1.5, no_eos_penalty=0.25, shaping="clip"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_tiny()


def rows(model: LanguageModel) -> list[Row]:
    texts = ("good tea", "bad", "the dog is lovely .", "", "warm bread and tea", "cold")
    asked = [tuple(tokens) for tokens in prompt_tokens(model)]
    made = []
    for index, text in enumerate(texts):
        ended = index % 3 != 2
        response = tuple(model.response_tokens(text, finished=ended, limit=9))
        made.append(Row(asked[index % 2], response, ended, "known" if index == 0 else ""))
    return made


def served(model: LanguageModel, **more: Any) -> ServedReward:
    options: dict[str, Any] = {"settings": SETTINGS, "references": {"known": [0.2, 0.6], "other": [2.0]}} | more
    return ServedReward(model, fresh_members(model, 3, layers=0), **options)


def by_hand(model: LanguageModel, asked: list[Row], count: int = 3) -> np.ndarray:
    """Members' scores `[M, B]`, a row at a time, straight through the decoder."""
    found = np.zeros((count, len(asked)))
    for column, row in enumerate(asked):
        dialogues = pad_dialogues([row.prompt], [row.response], model.pad_id)
        with torch.no_grad():
            branch = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
            for index, member in enumerate(fresh_members(model, count, layers=0)):
                found[index, column] = float(member(model.decoder, dialogues, branch))
    return found


def test_scores_spread_and_shaping_are_those_of_training(model: LanguageModel) -> None:
    asked = rows(model)
    raw = by_hand(model, asked)
    score = raw.mean(0) - 0.5 * raw.std(0)
    base = np.array([0.4, *[(0.4 + 2.0) / 2] * 5])
    ended = np.array([row.finished for row in asked])
    shaped = np.clip(score - base, -1.5, 1.5) - 0.25 * ~ended
    found = served(model).score(asked)
    assert [row.score for row in found] == pytest.approx(list(score), abs=1e-4)
    assert [row.spread for row in found] == pytest.approx(list(raw.std(0)), abs=1e-4)
    assert [row.shaped for row in found] == pytest.approx(list(shaped), abs=1e-4)
    assert not any(row.gate for row in found) and all(row.cost is None for row in found)


def test_order_and_company_change_nothing(model: LanguageModel) -> None:
    asked = rows(model)
    together = [row.score for row in served(model).score(asked)]
    alone = [served(model).score([row])[0].score for row in asked]
    backwards = [row.score for row in served(model).score(asked[::-1])][::-1]
    assert together == pytest.approx(alone, abs=1e-5) and together == pytest.approx(backwards, abs=1e-5)
    assert served(model).score([]) == []


def test_many_rows_are_scored_in_parts(model: LanguageModel) -> None:
    asked = rows(model) * 25
    found = [row.score for row in served(model).score(asked)]
    assert found == pytest.approx([row.score for row in served(model).score(rows(model))] * 25, abs=1e-4)


def test_a_closed_gate_gives_the_lowest_member_where_that_is_less(model: LanguageModel) -> None:
    asked, reward = rows(model), served(model)
    raw = by_hand(model, asked)
    limit = float(np.median(raw.std(0)))
    reward.gate = Gate(limit)
    careful = raw.mean(0) - 0.5 * raw.std(0)
    expected = np.where(raw.std(0) > limit, np.minimum(careful, raw.min(0)), careful)
    found = reward.score(asked)
    assert [row.gate for row in found] == list(raw.std(0) > limit) and sum(row.gate for row in found) == 3
    assert [row.score for row in found] == pytest.approx(list(expected), abs=1e-4)


def test_the_gate_is_set_at_the_99th_percentile_and_sees_outliers(model: LanguageModel) -> None:
    words = ("good", "bad", "lovely", "awful", "warm", "cold", "great", "dull")
    asked = [
        Row(tuple(tokens), tuple(model.response_tokens(f"the dog is {word} .", finished=True, limit=9)), True)
        for tokens in prompt_tokens(model)
        for word in words
    ]
    reward = served(model)
    reward.calibrate(asked)
    raw = by_hand(model, asked)
    assert reward.gate.spread_limit == pytest.approx(np.quantile(raw.std(0), 0.99), abs=1e-4)
    assert sum(row.gate for row in reward.score(asked)) <= 0.1 * len(asked)
    assert reward.floor == pytest.approx(min(row.shaped for row in reward.score(asked)), abs=1e-5)
    strange = Row(asked[0].prompt, tuple(range(30, 60)), False)
    (found,) = reward.score([strange])
    assert found.gate


def test_features_at_hand_give_the_same_gate(model: LanguageModel) -> None:
    asked = rows(model) * 6
    read, known = served(model, costs=fresh_members(model, 2, layers=0), price=1.0), served(model)
    known.costs, known.price = read.costs, 1.0
    read.calibrate(asked)
    assert known.reads_features
    known.calibrate(asked, read._read(asked).features_B_F)
    assert known.gate.spread_limit == pytest.approx(read.gate.spread_limit, abs=1e-5)
    assert known.floor == pytest.approx(read.floor, abs=1e-5)
    assert [row.gate for row in known.score(asked)] == [row.gate for row in read.score(asked)]


def test_without_rows_the_gate_stays_open(model: LanguageModel) -> None:
    reward = served(model)
    reward.calibrate([])
    assert reward.gate.spread_limit == math.inf and not any(row.gate for row in reward.score(rows(model)))


def test_costs_are_pessimistic_and_have_their_price(model: LanguageModel) -> None:
    asked = rows(model)
    costs = fresh_members(model, 2, layers=0)
    raw = by_hand(model, asked, 2)
    expected = raw.mean(0) + 0.5 * raw.std(0)
    free = served(model, costs=costs).score(asked)
    priced = served(model, costs=costs, price=3.0).score(asked)
    assert [row.cost for row in free] == pytest.approx(list(expected), abs=1e-4)
    for before, after, cost in zip(free, priced, expected, strict=True):
        assert after.shaped == pytest.approx((before.shaped - 3.0 * cost) / 4.0, abs=1e-4)
        assert after.score == pytest.approx(before.score)


def test_a_row_without_a_finite_score_gets_the_floor_and_a_closed_gate(model: LanguageModel) -> None:
    reward = served(model)
    reward.floor = -7.5
    with torch.no_grad():
        reward.members[1].bias.fill_(math.nan)
    found = reward.score(rows(model))
    assert all(row.score is None and row.spread is None and row.gate and row.shaped == -7.5 for row in found)
