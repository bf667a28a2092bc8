"""Demonstrations as a term of policy gradient training, against what alignment costs elsewhere."""

from collections.abc import Sequence

from torch import Tensor

from backstay.learn.branch_states import BranchStates
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.sft import Lesson


class MixedDemonstrations:
    """Demonstrations with their branch states; a policy's decoder may have the reference folded in above the branch."""

    def __init__(self, model: LanguageModel, lessons: Sequence[Lesson]) -> None:
        self.rows = BranchStates(model, [x.prompt for x in lessons], [x.response for x in lessons], range(len(lessons)))

    def __len__(self) -> int:
        return len(self.rows)

    def loss(self, decoder: Decoder, adapters: Adapters, rows: Sequence[int]) -> Tensor:
        """Mean cross-entropy of the response tokens, in nats a token."""
        dialogues, states = self.rows.batch(rows)
        branch = branch_under(decoder, dialogues, states, adapters)
        logprob = response_logprobs(decoder, dialogues, branch, adapters)
        return -logprob.sum() / dialogues.response_B.sum().clamp(min=1)
