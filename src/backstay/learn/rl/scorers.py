"""What a reward is to policy optimisation: scores of responses, where NaN means that there is none."""

from typing import Protocol

from torch import Tensor

from backstay.learn.batches import Dialogues
from backstay.learn.models.decoder import Decoder


class Scorer(Protocol):
    """A reward or a cost: a member of an ensemble, a function of the text, a service behind HTTP.

    A response that could not be scored gets NaN. It is left out of learning, and counted.
    """

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor, /) -> Tensor:
        """Scores `[B]`."""
        ...
