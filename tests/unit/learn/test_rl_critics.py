"""Values of prefixes, against scores of responses that were really cut there."""

import pytest
import torch
from tiny_loop import fresh_members, prompt_tokens, shaken
from torch import Tensor

from backstay.learn.batches import Dialogues, pad_dialogues
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rl.critics import RewardCritic, TrunkCritic, prefix_features, prefix_lengths
from backstay.learn.scalar_models import RewardMember, ValueModel, pooled

RESPONSES = [[5, 9, 11, 3, 7, 21, 2], [4], [17, 30, 6, 8], [], [12, 12, 12, 12, 12]]


@pytest.fixture(scope="module")
def dialogues(model64: LanguageModel) -> Dialogues:
    prompts = [tokens[: 3 + i % 3] for i, tokens in enumerate(prompt_tokens(model64)[: len(RESPONSES)])]
    return pad_dialogues(prompts, RESPONSES, model64.pad_id)


@pytest.fixture(scope="module")
def member(model64: LanguageModel) -> RewardMember:
    (made,) = fresh_members(model64, 1)
    made.gain.fill_(1.7)
    made.bias.fill_(-0.4)
    made.slope.fill_(0.6)
    return made


def branch(model: LanguageModel, dialogues: Dialogues) -> Tensor:
    return model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)


def cut(dialogues: Dialogues, length: int, pad_id: int) -> Dialogues:
    """The same prompts with responses of at most `length` tokens, padded anew."""
    lengths, width = dialogues.prompt_B.tolist(), dialogues.prompt_width
    prompts = [row[width - n : width] for row, n in zip(dialogues.tokens_B_T.tolist(), lengths, strict=True)]
    return pad_dialogues(prompts, [response[:length] for response in RESPONSES], pad_id)


@pytest.mark.parametrize("length", range(8))
def test_features_of_a_prefix_are_those_of_the_response_cut_there(
    model64: LanguageModel, dialogues: Dialogues, length: int
) -> None:
    every = prefix_features(branch(model64, dialogues), dialogues)
    short = cut(dialogues, length, model64.pad_id)
    assert every.shape == (5, 8, 5 * model64.decoder.hidden_size)
    assert (every[:, length] - pooled(branch(model64, short), short)).abs().max() < 1e-12


def test_an_empty_response_has_zeros_where_a_response_would_be(model64: LanguageModel, dialogues: Dialogues) -> None:
    every, width = prefix_features(branch(model64, dialogues), dialogues), 3 * model64.decoder.hidden_size
    assert every[:, 0, :width].abs().max() == 0
    assert every[3, :, :width].abs().max() == 0
    assert every[:, 0, width:].abs().amax(1).min() > 0.1


def test_padding_after_a_response_repeats_its_last_prefix(model64: LanguageModel, dialogues: Dialogues) -> None:
    every = prefix_features(branch(model64, dialogues), dialogues)
    for row, response in enumerate(RESPONSES):
        assert torch.equal(every[row, len(response) :], every[row, len(response)].expand(8 - len(response), -1))
    assert prefix_lengths(dialogues)[1].tolist() == [0, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("length", range(8))
def test_a_reward_critic_starts_as_what_the_reward_says_of_each_prefix(
    model64: LanguageModel, dialogues: Dialogues, member: RewardMember, length: int
) -> None:
    with torch.no_grad():
        values = RewardCritic(member)(model64.decoder, dialogues, branch(model64, dialogues))
        short = cut(dialogues, length, model64.pad_id)
        scores = member(model64.decoder, short, branch(model64, short))
    assert values.shape == (5, 8)
    assert (values[:, length] - scores).abs().max() < 1e-10


def test_a_reward_critic_ends_at_the_score_of_the_whole_response(
    model64: LanguageModel, dialogues: Dialogues, member: RewardMember
) -> None:
    with torch.no_grad():
        values = RewardCritic(member)(model64.decoder, dialogues, branch(model64, dialogues))
        scores = member(model64.decoder, dialogues, branch(model64, dialogues))
    assert (values[torch.arange(5), dialogues.response_B] - scores).abs().max() < 1e-10
    assert (values[:, -1] - scores).abs().max() < 1e-10


def test_learning_values_leaves_the_reward_as_it_was(
    model64: LanguageModel, dialogues: Dialogues, member: RewardMember
) -> None:
    critic, before = RewardCritic(member), {name: x.clone() for name, x in member.state_dict().items()}
    torch.autograd.backward(critic(model64.decoder, dialogues, branch(model64, dialogues)).square().sum())
    trained = {name for name, p in critic.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert any(".adapter." in f".{name}" for name in trained) and any(".head." in f".{name}" for name in trained)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(x, before[name]) for name, x in member.state_dict().items())
    assert not any(p.requires_grad for p in member.parameters())


def test_a_value_knows_only_what_came_before(
    model64: LanguageModel, dialogues: Dialogues, member: RewardMember
) -> None:
    """Another token at place 3 of a response changes no value before it, and the ones after."""
    tokens = dialogues.tokens_B_T.clone()
    tokens[0, dialogues.prompt_width + 3] = 40
    other = Dialogues(tokens, dialogues.prompt_B, dialogues.response_B, dialogues.prompt_width)
    made = shaken(ValueModel(64, 8, torch.Generator().manual_seed(0)).double(), seed=1)
    for critic in (RewardCritic(member), TrunkCritic(made)):
        with torch.no_grad():
            first, second = (critic(model64.decoder, d, branch(model64, d)) for d in (dialogues, other))
        changed = (first - second).abs() > 1e-12
        assert changed[0].tolist() == [False] * 4 + [True] * 4
        assert not changed[1:].any()


def test_a_trunk_critic_reads_the_state_before_each_token(model64: LanguageModel, dialogues: Dialogues) -> None:
    made = shaken(ValueModel(64, 8, torch.Generator().manual_seed(0)).double(), seed=1)
    states = branch(model64, dialogues).requires_grad_()
    values = TrunkCritic(made)(model64.decoder, dialogues, states)
    assert values.shape == (5, 8)
    for row, response in enumerate(RESPONSES):
        alone = made(states[row, dialogues.prompt_width - 1 :])
        assert torch.equal(values[row, : len(response) + 1], alone[: len(response) + 1])
    torch.autograd.backward(values.sum())
    assert states.grad is None  # the trunk learns nothing from values
