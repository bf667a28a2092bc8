import dataclasses

import pytest
import torch
from scipy.stats import chi2
from tiny_loop import fresh_adapter, load_tiny, prompt_tokens, shaken, tiny_shape
from torch import Tensor

from backstay.learn import decoding
from backstay.learn.decoding import Rollout, draw, sample
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import response_logprobs

STEPS = 10


def busy_adapter(model: LanguageModel) -> Adapter:
    return shaken(fresh_adapter(model, tiny_shape()), scale=0.2)


def rolled(model: LanguageModel, adapters: tuple[Adapter, ...] = (), **changes: object) -> Rollout:
    prompts = [tokens[: 3 + index % 5] for index, tokens in enumerate(prompt_tokens(model) * 4)]
    settings = {"max_new_tokens": STEPS, "temperature": 1.0, "keep_branch": True} | changes
    generator = torch.Generator().manual_seed(0)
    return sample(model, prompts, adapters=adapters, generator=generator, **settings)  # type: ignore[arg-type]  # by name


def next_token_logprobs(
    model: LanguageModel, tokens: list[int], adapters: tuple[Adapter, ...], temperature: float
) -> Tensor:
    """log softmax(logits / T) after a text, from one plain pass without padding."""
    row, real = torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.bool)
    hidden = model.decoder.top(model.decoder.trunk(row, real), real, adapters)
    return (model.decoder.logits(hidden[:, -1], adapters)[0] / temperature).log_softmax(-1).detach()


def real_tokens(rollout: Rollout, row: int) -> tuple[list[int], list[int]]:
    dialogues = rollout.dialogues
    whole = dialogues.tokens_B_T[row][dialogues.mask_B_T[row]].tolist()
    length = int(dialogues.prompt_B[row])
    return whole[:length], whole[length:]


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0, -3.0])
    count = 60_000
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    token, logprob = draw(logits.expand(count, -1), uniform)
    expected = logits.double().softmax(-1)
    seen = torch.bincount(token, minlength=6)
    statistic = float(((seen - count * expected) ** 2 / (count * expected)).sum())
    assert statistic < chi2.ppf(0.999, df=5)
    assert (logprob - expected.log()[token]).abs().max() < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_inverts_the_cumulative_distribution(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(200, 30, generator=generator, dtype=torch.float64) * 3
    uniform = torch.rand(200, generator=generator, dtype=torch.float64)
    token, _ = draw(logits, uniform)
    for row in range(200):
        running, wanted = 0.0, 29
        for index, chance in enumerate(logits[row].softmax(-1).tolist()):
            running += chance
            if uniform[row] < running:
                wanted = index
                break
        assert int(token[row]) == wanted


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_draw_never_takes_what_has_no_probability(uniform: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]])
    token, logprob = draw(logits, torch.tensor([uniform], dtype=torch.float64))
    assert int(token) in {1, 2}
    assert logprob.isfinite().all()


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_sampled_log_probabilities_equal_a_plain_pass(model64: LanguageModel, temperature: float) -> None:
    adapter = busy_adapter(model64)
    rollout = rolled(model64, (adapter,), temperature=temperature)
    for row in (0, 3, 17, 39):
        prompt, response = real_tokens(rollout, row)
        for step, token in enumerate(response):
            plain = next_token_logprobs(model64, prompt + response[:step], (adapter,), temperature)
            assert abs(float(plain[token] - rollout.logprob_B_R[row, step])) < 1e-10
        assert rollout.logprob_B_R[row, len(response) :].abs().sum() == 0


@pytest.mark.parametrize("branch_layer", [0, 1])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampled_log_probabilities_equal_the_training_graph_s(branch_layer: int, temperature: float) -> None:
    model = load_tiny(torch.float64, branch_layer=branch_layer)
    adapters = (busy_adapter(model),)
    rollout = rolled(model, adapters, temperature=temperature)
    trained = response_logprobs(
        model.decoder, rollout.dialogues, rollout.branch_B_T_D, adapters, temperature=temperature
    )
    assert (trained - rollout.logprob_B_R).abs().max() < 1e-10
    other = response_logprobs(model.decoder, rollout.dialogues, rollout.branch_B_T_D, adapters, temperature=3.0)
    assert (other - rollout.logprob_B_R).abs().max() > 0.1


def test_kept_branch_states_equal_a_fresh_trunk_pass(model64: LanguageModel) -> None:
    rollout = rolled(model64)
    decoder = model64.decoder
    assert rollout.branch_B_T_D.shape == (40, rollout.dialogues.tokens_B_T.shape[1], decoder.hidden_size)
    for row in range(40):
        prompt, response = real_tokens(rollout, row)
        tokens, branch = prompt + response, rollout.branch_B_T_D[row][rollout.dialogues.mask_B_T[row]]
        fresh = decoder.trunk(torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.bool))[0]
        assert (branch - fresh).abs().max() < 1e-10  # the last response token included
    assert bool((~rollout.finished_B).any()) and bool(rollout.finished_B.any())


def test_nothing_is_kept_unless_asked(model: LanguageModel) -> None:
    assert rolled(model, keep_branch=False).branch_B_T_D.numel() == 0


def test_compaction_changes_nothing(model64: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rollouts = []
    for threshold in (0.0, 0.75, 1.0):
        monkeypatch.setattr(decoding, "COMPACT_BELOW", threshold)
        rollouts.append(rolled(dataclasses.replace(model64, stop_ids=(2, *range(40, 48))), max_new_tokens=30))
    never, sometimes, always = rollouts
    assert 30 <= int(never.finished_B.sum()) < 40
    for other in (sometimes, always):
        assert torch.equal(never.dialogues.tokens_B_T, other.dialogues.tokens_B_T)
        assert torch.equal(never.dialogues.response_B, other.dialogues.response_B)
        assert (never.logprob_B_R - other.logprob_B_R).abs().max() < 1e-10
        real = never.dialogues.mask_B_T
        assert (never.branch_B_T_D - other.branch_B_T_D)[real].abs().max() < 1e-10


def test_a_response_ends_at_its_first_stop_token(model: LanguageModel) -> None:
    stopping = dataclasses.replace(model, stop_ids=(2, 40, 41, 42, 43, 44, 45, 46, 47))
    rollout = rolled(stopping, max_new_tokens=20)
    assert 5 < int(rollout.finished_B.sum()) < 40
    for row, finished in enumerate(rollout.finished_B.tolist()):
        _, response = real_tokens(rollout, row)
        stops = [token in stopping.stop_ids for token in response]
        assert len(response) >= 1 and not any(stops[:-1])
        assert stops[-1] is finished
        assert finished or len(response) == 20


def test_stop_tokens_in_the_prompt_do_not_end_a_response(model: LanguageModel) -> None:
    generator = torch.Generator().manual_seed(0)
    prompts = [[1, 5, 2, 2, 1, 6, 2], [2], [7, 2]]
    rollout = sample(
        model, prompts, adapters=(), max_new_tokens=5, temperature=1.0, generator=generator, keep_branch=True
    )
    assert rollout.dialogues.prompt_B.tolist() == [7, 1, 2]
    for row, prompt in enumerate(prompts):
        assert real_tokens(rollout, row)[0] == prompt
        assert int(rollout.dialogues.response_B[row]) == len(real_tokens(rollout, row)[1]) >= 1


@pytest.mark.parametrize("pad_id", [2, 8, 40])
def test_a_pad_token_that_is_a_real_token_changes_nothing(model64: LanguageModel, pad_id: int) -> None:
    plain, odd = rolled(model64), rolled(dataclasses.replace(model64, pad_id=pad_id))
    assert torch.equal(plain.dialogues.response_B, odd.dialogues.response_B)
    assert torch.equal(plain.finished_B, odd.finished_B)
    assert [real_tokens(plain, row) for row in range(40)] == [real_tokens(odd, row) for row in range(40)]
    assert torch.equal(plain.logprob_B_R, odd.logprob_B_R)


def test_equal_seeds_give_equal_responses_and_others_do_not(model: LanguageModel) -> None:
    def tokens(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        rollout = sample(
            model, prompt_tokens(model), adapters=(), max_new_tokens=8, temperature=1.0, generator=generator
        )
        return [real_tokens(rollout, row)[1] for row in range(10)]

    assert tokens(1) == tokens(1) != tokens(2)


def test_sampling_follows_the_temperature(model: LanguageModel) -> None:
    prompt = prompt_tokens(model)[0]
    count = 4000
    for temperature in (0.5, 2.0):
        rollout = sample(
            model,
            [prompt] * count,
            adapters=(),
            max_new_tokens=1,
            temperature=temperature,
            generator=torch.Generator().manual_seed(0),
        )
        expected = count * next_token_logprobs(model, prompt, (), temperature).double().exp()
        seen = torch.bincount(rollout.dialogues.responses_B_R[:, 0], minlength=len(expected)).double()
        large = expected >= 10
        tail_seen, tail_expected = seen[~large].sum(), expected[~large].sum()
        statistic = float(((seen - expected)[large] ** 2 / expected[large]).sum())
        statistic += float((tail_seen - tail_expected) ** 2 / tail_expected)
        assert statistic < chi2.ppf(0.999, df=int(large.sum()))


def test_the_listener_hears_the_first_row(model: LanguageModel) -> None:
    heard: list[int] = []
    rollout = sample(
        model,
        prompt_tokens(model)[:1],
        adapters=(),
        max_new_tokens=12,
        temperature=1.0,
        generator=torch.Generator().manual_seed(3),
        on_token=heard.append,
    )
    assert heard == real_tokens(rollout, 0)[1]
