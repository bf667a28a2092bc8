import threading

import pytest
import torch

from backstay.learn.decoding import sample, sharpened
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.serving.generation import Cancelled, Policy, Sampling, generate


@pytest.fixture
def policy(model: LanguageModel) -> Policy:
    return Policy(model, (), 8, 1.0, 100, 100)


def test_the_nucleus_is_the_fewest_tokens_that_come_to_top_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]]).log()
    kept = {p: sharpened(logits, 1.0, p).isfinite().tolist() for p in (0.0, 0.4, 0.6, 0.79, 0.9, 1.0)}
    assert kept[0.0] == kept[0.4] == [[True, False, False, False], [False, False, False, True]]
    assert kept[0.6] == kept[0.79] == [[True, True, False, False], [False, False, True, True]]
    assert kept[0.9] == [[True, True, True, False], [False, True, True, True]]
    assert torch.equal(sharpened(logits, 1.0), logits)
    assert sharpened(logits, 0.0).softmax(-1).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_what_is_told_is_what_is_sampled(policy: Policy) -> None:
    model, prompt = policy.model, policy.model.encode("the sun is")
    told = {0: "", 1: "", 2: ""}

    def hear(choice: int, piece: str) -> None:
        told[choice] += piece

    found = generate(policy, prompt, Sampling(n=3, max_tokens=12, seed=4), on_text=hear)
    rollout = sample(
        model, [prompt] * 3, adapters=(), max_new_tokens=12, temperature=1.0, generator=torch.Generator().manual_seed(4)
    )
    responses = rollout.responses()
    assert found.texts == tuple(model.decode(tokens) for tokens in responses) == tuple(told.values())
    assert found.completion_tokens == sum(map(len, responses)) and found.prompt_tokens == 3
    ends = ["stop" if tokens[-1] in model.stop_ids else "length" for tokens in responses]
    assert list(found.reasons) == ends


def test_a_stop_text_ends_its_choice_and_no_other(policy: Policy) -> None:
    prompt = policy.model.encode("the sun is")
    free = generate(policy, prompt, Sampling(n=2, max_tokens=12, seed=4))
    word = free.texts[0].split()[3]
    found = generate(policy, prompt, Sampling(n=2, max_tokens=12, seed=4, stop=(word,)))
    assert (
        found.texts[0] == free.texts[0].partition(word)[0].rstrip()
        or found.texts[0] == free.texts[0].partition(word)[0]
    )
    assert found.reasons[0] == "stop" and found.completion_tokens < free.completion_tokens
    if word not in free.texts[1]:
        assert found.texts[1] == free.texts[1]


def test_nobody_waits(policy: Policy) -> None:
    cancelled, pieces = threading.Event(), []

    def hear(choice: int, piece: str) -> None:
        pieces.append(piece)
        cancelled.set()

    with pytest.raises(Cancelled):
        generate(
            policy, policy.model.encode("the sun"), Sampling(max_tokens=90, seed=1), on_text=hear, cancelled=cancelled
        )
    assert len(pieces) == 1


def test_the_same_seed_gives_the_same_answer_and_none_another(policy: Policy) -> None:
    prompt = policy.model.encode("the sun")
    seeded = {generate(policy, prompt, Sampling(max_tokens=20, seed=7)).texts for _ in range(2)}
    assert len(seeded) == 1
    assert len({generate(policy, prompt, Sampling(max_tokens=20)).texts for _ in range(3)}) == 3
