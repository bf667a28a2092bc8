import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_loop import load_tiny, prompt_tokens

from backstay.errors import UsageError
from backstay.learn.batches import Dialogues, pad_dialogues
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.text_rewards import RewardFailure, TextReward, Texts, finite_scores, texts_of

TEXTS = Texts(["p", "q", "r"], ["one", "three", "fourteen"], [True, True, False])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_tiny()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end, so that no test leaves a thread that waits for it."""
    event = threading.Event()
    yield event
    event.set()


def lengths(_prompts: list[str], responses: list[str]) -> list[float]:
    return [float(len(text)) for text in responses]


def dialogues(model: LanguageModel) -> Dialogues:
    answers = [model.response_tokens(text, finished=end, limit=9) for text, end in (("good tea", True), ("bad", False))]
    return pad_dialogues(prompt_tokens(model)[:2], [*answers], model.pad_id)


def test_texts_are_decoded_without_padding_and_say_whether_they_ended(model: LanguageModel) -> None:
    found = texts_of(model, dialogues(model), {})
    assert found.responses == ["good tea", "bad"] and found.finished == [True, False]
    assert found.prompts == [model.tokenizer.decode(t, skip_special_tokens=False) for t in prompt_tokens(model)[:2]]
    assert model.encode(found.prompts[0]) == prompt_tokens(model)[0]  # nothing of the prompt is lost


def test_known_prompts_keep_their_own_words(model: LanguageModel) -> None:
    known = {tuple(prompt_tokens(model)[1]): "how is the earth ?"}
    found = texts_of(model, dialogues(model), known)
    assert found.prompts[1] == "how is the earth ?" and "<|im_start|>" in found.prompts[0]


def test_scores_come_back_as_a_tensor_in_order(model: LanguageModel) -> None:
    batch = dialogues(model)
    branch = torch.zeros(*batch.tokens_B_T.shape, 1)
    assert TextReward(model, lengths)(model.decoder, batch, branch).tolist() == [8.0, 3.0]


def test_an_empty_response_is_an_empty_text(model: LanguageModel) -> None:
    batch = pad_dialogues(prompt_tokens(model)[:1], [[]], model.pad_id)
    scorer = TextReward(model, lengths)
    assert scorer(model.decoder, batch, torch.zeros(1, 1, 1)).tolist() == [0.0]
    assert texts_of(model, batch, {}).finished == [False]


@given(
    sizes=st.lists(st.integers(0, 30), max_size=25),
    batch_size=st.integers(1, 7),
)
def test_splitting_into_calls_changes_nothing(sizes: list[int], batch_size: int) -> None:
    calls: list[int] = []

    def counted(prompts: list[str], responses: list[str]) -> list[float]:
        calls.append(len(prompts))
        return lengths(prompts, responses)

    texts = Texts([""] * len(sizes), ["x" * size for size in sizes], [True] * len(sizes))
    scorer = TextReward(None, counted, batch_size=batch_size)  # type: ignore[arg-type]  # no token is decoded here
    assert scorer.score(texts) == sizes
    assert sum(calls) == len(sizes) and len(calls) == math.ceil(len(sizes) / batch_size)


def raising(_prompts: list[str], _responses: list[str]) -> list[float]:
    raise ValueError("no such\nword")


def leaving(_prompts: list[str], _responses: list[str]) -> list[float]:
    raise SystemExit(3)


CASES: list[tuple[Any, str, str]] = [
    (raising, "raised", "ValueError: no such word"),
    (leaving, "raised", "SystemExit: 3"),
    (lambda p, r: [1.0], "wrong_length", "1 scores for 3 responses"),
    (lambda p, r: 1.0, "wrong_type", "not float"),
    (lambda p, r: None, "wrong_type", "not NoneType"),
    (lambda p, r: "123", "wrong_type", "not str"),
    (lambda p, r: {"a": 1, "b": 2, "c": 3}, "wrong_type", "not dict"),
    (lambda p, r: itertools.count(), "wrong_type", "not count"),
    (lambda p, r: [float("nan")] * 3, "not_finite", "3 of 3"),
    (lambda p, r: [True, "1", None], "not_finite", "3 of 3"),
]


@pytest.mark.parametrize(("function", "reason", "message"), CASES)
def test_a_call_without_scores_is_counted_and_ends_training_when_it_repeats(
    function: Any, reason: str, message: str
) -> None:
    scorer = TextReward(None, function, max_failures=2)  # type: ignore[arg-type]  # no token is decoded here
    assert all(map(math.isnan, scorer.score(TEXTS)))
    assert scorer.failures == Counter({reason: 3}) and message in scorer.last_failure
    with pytest.raises(UsageError, match="gave no score 2 times in a row"):
        scorer.score(TEXTS)


def test_one_bad_row_costs_that_row_only() -> None:
    scorer = TextReward(None, lambda p, r: [1.0, float("inf"), 1e39])  # type: ignore[arg-type]  # no token is decoded
    found = scorer.score(TEXTS)
    assert found[0] == 1.0 and math.isnan(found[1]) and math.isnan(found[2])  # 1e39 is infinite in float32
    assert scorer.failures == Counter(not_finite=2) and scorer.failed_in_a_row == 0


def test_a_success_in_between_starts_the_count_anew() -> None:
    answers: list[Any] = [None, [1, 2, 3], None, [1, 2, 3]]
    scorer = TextReward(None, lambda p, r: answers.pop(0), max_failures=2)  # type: ignore[arg-type]  # as above
    given_scores = [scorer.score(TEXTS) for _ in range(4)]
    assert given_scores[1] == given_scores[3] == [1.0, 2.0, 3.0]
    assert sum(scorer.failures.values()) == sum(math.isnan(x) for row in given_scores for x in row) == 6


def test_a_function_that_hangs_is_given_up_on(gate: threading.Event) -> None:
    def hang(_prompts: list[str], _responses: list[str]) -> list[float]:
        gate.wait()
        return [0.0] * 3

    scorer = TextReward(None, hang, timeout_s=0.05, max_failures=2)  # type: ignore[arg-type]  # no token is decoded
    assert all(map(math.isnan, scorer.score(TEXTS)))
    assert scorer.failures == Counter(timeout=3)
    with pytest.raises(UsageError, match=r"no answer within 0\.05 s"):
        scorer.score(TEXTS)


def test_threads_left_behind_do_not_pile_up(gate: threading.Event) -> None:
    calls = itertools.count()

    def hang_every_other(_prompts: list[str], _responses: list[str]) -> list[float]:
        if next(calls) % 2 == 0:
            gate.wait()
        return [0.0] * 3

    scorer = TextReward(None, hang_every_other, timeout_s=0.05, max_failures=2)  # type: ignore[arg-type]  # as above
    for _ in range(3):
        scorer.score(TEXTS)
    with pytest.raises(UsageError, match="2 calls of the reward function hang_every_other hang"):
        scorer.score(TEXTS)


@pytest.mark.parametrize("given_scores", [np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]), (1, 2), [1, np.float32(2)]])
def test_arrays_and_numbers_of_any_kind_are_taken(given_scores: Any) -> None:
    assert finite_scores(given_scores, 2) == [1.0, 2.0]


def test_a_number_too_large_for_a_float_is_no_score() -> None:
    assert math.isnan(finite_scores([10**400], 1)[0])
    with pytest.raises(RewardFailure, match="2 scores for 1"):
        finite_scores([1, 2], 1)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        TextReward(None, lengths, batch_size=0)  # type: ignore[arg-type]  # no token is decoded here
