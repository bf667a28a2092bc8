"""Modules of transformers with some of their children exchanged, sharing every weight with the original."""

import copy
from typing import Any

from torch import Tensor, nn


class Given(nn.Module):
    """Stands in for the body of a causal model, so that its head runs on states that are there already."""

    def forward(self, *_args: Any, inputs_embeds: Tensor, **_kwargs: Any) -> "GivenStates":
        """Pass the states on."""
        return GivenStates(inputs_embeds)


class GivenStates:
    """The output of a body that has only final states; every other field is None."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states

    def __getitem__(self, index: int) -> Tensor:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


def shell(module: nn.Module, replaced: dict[str, nn.Module]) -> nn.Module:
    """A copy of a module that shares all children but the replaced ones."""
    copied = copy.copy(module)
    vars(copied)["_modules"] = vars(module)["_modules"] | replaced
    return copied
