"""Branch states of fixed texts, computed once: every epoch and every ensemble member starts from them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from backstay.learn.batches import Dialogues, by_length, pad_dialogues
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.scalar_models import PROMPT_PARTS, RESPONSE_PARTS, pooled

TOKENS_AT_ONCE = 4096
NOTICES = 10


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
        self._features: Tensor | None = None
        self.notify: Callable[[str], None] | None = None
        self._rows_of: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompt_of):
            self._rows_of.setdefault(prompt, []).append(row)

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
        return dialogues, self._assemble(rows, dialogues)

    @torch.no_grad()
    def features(self) -> Tensor:
        """Pooled branch states of every row, `[N, 5D]`, computed once; the states themselves are not kept for it."""
        if self._features is None:
            width = (RESPONSE_PARTS + PROMPT_PARTS) * self.model.decoder.hidden_size
            self._features = self.model.decoder.embedding.new_zeros(len(self), width)
            for prompts in self._groups(sorted(self._rows_of)):
                rows = self._rows_under(prompts)
                dialogues, branch = self._fleeting(prompts, rows)
                self._features[rows] = pooled(branch, dialogues)
        return self._features

    def _fleeting(self, prompts: list[int], rows: list[int]) -> tuple[Dialogues, Tensor]:
        """Tokens and states of some rows, leaving nothing behind that was not there before."""
        if self.model.decoder.branch_layer == 0 or prompts[0] in self._prompt_states:
            return self.batch(rows)
        self._compute(prompts)
        dialogues = self.dialogues(rows)
        branch = self._assemble(rows, dialogues)
        for prompt in prompts:
            del self._prompt_states[prompt]
        for row in rows:
            del self._response_states[row]
        return dialogues, branch

    def _assemble(self, rows: Sequence[int], dialogues: Dialogues) -> Tensor:
        decoder, width = self.model.decoder, dialogues.prompt_width
        branch = decoder.embedding.new_zeros(*dialogues.tokens_B_T.shape, decoder.hidden_size)
        for index, row in enumerate(rows):
            prompt, response = self._prompt_states[self.prompt_of[row]], self._response_states[row]
            branch[index, width - len(prompt) : width] = prompt
            branch[index, width : width + len(response)] = response
        return branch

    @torch.no_grad()
    def compute(self) -> None:
        """Run the trunk over everything that is not there yet, in batches of similar prompt length."""
        if len(self._prompt_states) < len(self._rows_of):
            for group in self._groups(sorted(set(self._rows_of) - set(self._prompt_states))):
                self._compute(group)

    def _groups(self, prompts: list[int]) -> Iterator[list[int]]:
        lengths = [len(self.prompts[prompt]) for prompt in prompts]
        done, told = 0, 0
        for group in by_length(lengths, _prompts_at_once(lengths)):
            yield [prompts[index] for index in group]
            done += len(group)
            if self.notify is not None and NOTICES * done // len(prompts) > told:
                told = NOTICES * done // len(prompts)
                self.notify(f"read {done} of {len(prompts)} prompts with their responses")

    def _rows_under(self, prompts: list[int]) -> list[int]:
        return [row for prompt in prompts for row in self._rows_of[prompt]]

    def _compute(self, prompts: list[int]) -> None:
        rows = self._rows_under(prompts)
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


def _prompts_at_once(lengths: Sequence[int]) -> int:
    return max(1, min(32, TOKENS_AT_ONCE // max(lengths, default=1)))
