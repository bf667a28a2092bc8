"""Critics: the value of the state before each response token, and of the one after the last."""

import copy
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from backstay.learn.batches import Dialogues
from backstay.learn.models.decoder import Decoder
from backstay.learn.scalar_models import OPENING, RewardMember, ValueModel


class Critic(Protocol):
    """Values `[B, R + 1]`: column t is the state before response token t."""

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor, /) -> Tensor:
        """Values of every prefix of the responses."""
        ...


class TrunkCritic(nn.Module):
    """A perceptron on the branch state of each position: the trunk is shared, and learns nothing from values."""

    def __init__(self, model: ValueModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, _decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        """Values `[B, R + 1]`."""
        values: Tensor = self.model(branch_B_T_D.detach()[:, dialogues.prompt_width - 1 :])
        return values


class RewardCritic(nn.Module):
    """A copy of a reward member that reads every prefix of the response: at the start, what the reward would say.

    Own adapter and head, both trained (Stiennon et al. 2020, section 3.4: the value function starts as the reward).
    """

    def __init__(self, member: RewardMember) -> None:
        super().__init__()
        self.member = copy.deepcopy(member).requires_grad_(True)

    def forward(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        """Values `[B, R + 1]`."""
        start, member = decoder.branch_layer, self.member
        end = start + member.layers
        hidden = decoder.layers(branch_B_T_D.detach(), dialogues.mask_B_T, start, end, member.adapters)
        features, length = prefix_features(hidden, dialogues), prefix_lengths(dialogues)
        scores = member.score(features.flatten(0, 1), length.flatten())
        return scores.view(features.shape[:2])


def prefix_lengths(dialogues: Dialogues) -> Tensor:
    """Tokens of each response cut after 0, 1, .. R tokens, `[B, R + 1]`; a whole response stays as long as it is."""
    count = torch.arange(dialogues.response_width + 1, device=dialogues.response_B.device)[None]
    return torch.minimum(count, dialogues.response_B[:, None])


def prefix_features(hidden_B_T_D: Tensor, dialogues: Dialogues) -> Tensor:
    """What `pooled` gives of each response cut after 0, 1, .. R tokens, `[B, R + 1, 5D]`; padding repeats the last.

    An empty response has zeros in its three parts.
    """
    width = dialogues.prompt_width
    normed = functional.rms_norm(hidden_B_T_D, hidden_B_T_D.shape[-1:]) * dialogues.mask_B_T[..., None]
    prompt, response = normed[:, :width], normed[:, width:]
    empty = response.new_zeros(len(response), 1, response.shape[2])
    sums = torch.cat((empty, response.cumsum(1)), 1)
    count = prefix_lengths(dialogues)
    opening = count.clamp(max=OPENING)
    row = torch.arange(len(response), device=response.device)[:, None]
    last = torch.cat((empty, response), 1)[row, count]
    parts = [
        _mean(sums[row, count], count),
        _mean(sums[row, opening], opening),
        last,
        _mean(prompt.sum(1), dialogues.prompt_B)[:, None].expand_as(last),
        prompt[:, -1:].expand_as(last),
    ]
    return torch.cat(parts, -1)


def _mean(total: Tensor, count: Tensor) -> Tensor:
    mean = total / count.clamp(min=1)[..., None]
    return functional.rms_norm(mean, mean.shape[-1:])
