"""Branch states of fixed texts, computed once: every epoch and every ensemble member starts from them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backstay.learn.batches import Dialogues, by_length, pad_dialogues
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel

TOKENS_AT_ONCE = 4096


class BranchStates:
    """Prompts with one or more responses each; a prompt runs through the trunk once for all of them.

    Rows are responses; `prompt_of[i]` is the index of row i's prompt. With the branch at layer 0 nothing is kept, since
    an embedding look-up costs nothing and may be trained.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        prompt_of: Sequence[int],
    ) -> None:
        self.model = model
        self.prompts = prompts
        self.responses = responses
        self.prompt_of = prompt_of
        self._prompt_states: dict[int, Tensor] = {}
        self._response_states: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.responses)

    def dialogues(self, rows: Sequence[int]) -> Dialogues:
        """Tokens of some rows, padded."""
        padded = pad_dialogues(
            [self.prompts[self.prompt_of[row]] for row in rows],
            [self.responses[row] for row in rows],
            self.model.pad_id,
        )
        device = self.model.device
        return Dialogues(
            padded.tokens_B_T.to(device), padded.prompt_B.to(device), padded.response_B.to(device), padded.prompt_width
        )

    def batch(self, rows: Sequence[int], adapters: Adapters = ()) -> tuple[Dialogues, Tensor]:
        """Tokens and branch states `[B, T, D]` of some rows; `adapters` matter only with the branch at layer 0."""
        dialogues = self.dialogues(rows)
        decoder = self.model.decoder
        if decoder.branch_layer == 0:
            return dialogues, decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T, adapters=adapters)
        self.compute()
        branch = decoder.embedding.new_zeros(*dialogues.tokens_B_T.shape, decoder.hidden_size)
        width = dialogues.prompt_width
        for index, row in enumerate(rows):
            prompt, response = self._prompt_states[self.prompt_of[row]], self._response_states[row]
            branch[index, width - len(prompt) : width] = prompt
            branch[index, width : width + len(response)] = response
        return dialogues, branch

    @torch.no_grad()
    def compute(self) -> None:
        """Run the trunk over everything that is not there yet, in batches of similar prompt length."""
        missing = sorted({self.prompt_of[row] for row in range(len(self)) if row not in self._response_states})
        for group in by_length([len(self.prompts[p]) for p in missing], _prompts_at_once(self.prompts)):
            self._compute([missing[index] for index in group])

    def _compute(self, prompts: list[int]) -> None:
        rows = [row for row in range(len(self)) if self.prompt_of[row] in set(prompts)]
        decoder = self.model.decoder
        heads = pad_dialogues([self.prompts[p] for p in prompts], [[] for _ in prompts], self.model.pad_id)
        tails = self.dialogues(rows)
        mask = heads.mask_B_T.to(self.model.device)
        cache = decoder.new_cache(heads.prompt_width + tails.response_width)
        states = decoder.trunk(heads.tokens_B_T.to(self.model.device), mask, cache)
        cache.advance(heads.prompt_width)
        for prompt, state in zip(prompts, states, strict=True):
            self._prompt_states[prompt] = state[heads.prompt_width - len(self.prompts[prompt]) :].clone()
        self._compute_responses(rows, prompts, tails, mask, cache)

    def _compute_responses(self, rows: list[int], prompts: list[int], tails: Dialogues, mask: Tensor, cache) -> None:  # type: ignore[no-untyped-def]  # a decoder's own cache
        source = torch.tensor([prompts.index(self.prompt_of[row]) for row in rows], device=mask.device)
        cache.keep(source)
        whole = torch.cat((mask[source], tails.response_mask_B_R), 1)
        states = self.model.decoder.trunk(tails.responses_B_R, whole, cache)
        for row, state in zip(rows, states, strict=True):
            self._response_states[row] = state[: len(self.responses[row])].clone()


def _prompts_at_once(prompts: Sequence[Sequence[int]]) -> int:
    longest = max((len(p) for p in prompts), default=1)
    return max(1, min(32, TOKENS_AT_ONCE // longest))
