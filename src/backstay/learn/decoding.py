"""Sampling from a policy, with log-probabilities and branch states kept as they are made."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backstay.learn.batches import Dialogues
from backstay.learn.models.decoder import Adapters, KeyValueCache
from backstay.learn.models.language_model import LanguageModel

COMPACT_BELOW = 0.75
OnStep = Callable[[dict[int, int]], Collection[int]]
"""Told the token of each row that got one in a step; the rows it returns get no more. What it raises ends it all."""


@dataclass(frozen=True)
class Rollout:
    """Sampled responses.

    `logprob_B_R` is log pi(token) at the sampling temperature, zero after the end; `branch_B_T_D` are branch states of
    all tokens; `finished_B` says who ended by a stop token.
    """

    dialogues: Dialogues
    logprob_B_R: Tensor
    branch_B_T_D: Tensor
    finished_B: Tensor

    def responses(self) -> list[list[int]]:
        """Tokens of each response, without padding."""
        rows = zip(self.dialogues.responses_B_R.tolist(), self.dialogues.response_B.tolist(), strict=True)
        return [tokens[:length] for tokens, length in rows]


class _Decoding:
    """The mutable state of one batch while it is decoded."""

    def __init__(self, model: LanguageModel, prompts: Sequence[Sequence[int]], room: int, keep_branch: bool) -> None:
        self.width = max(len(p) for p in prompts)
        batch, total, device = len(prompts), self.width + room, model.device
        self.tokens = torch.full((batch, total), model.pad_id, dtype=torch.long, device=device)
        self.mask = torch.zeros(batch, total, dtype=torch.bool, device=device)
        for row, prompt in enumerate(prompts):
            self.tokens[row, self.width - len(prompt) : self.width] = torch.tensor(prompt, device=device)
            self.mask[row, self.width - len(prompt) : self.width] = True
        self.logprob = torch.zeros(batch, room, dtype=model.decoder.embedding.dtype, device=device)
        self.length = torch.zeros(batch, dtype=torch.long, device=device)
        self.finished = torch.zeros(batch, dtype=torch.bool, device=device)
        branch_shape = (batch, total, model.decoder.hidden_size) if keep_branch else (0, 0, 0)
        self.branch = model.decoder.embedding.new_zeros(branch_shape)
        self.prompt_length = torch.tensor([len(p) for p in prompts], device=device)

    def prefill(
        self, model: LanguageModel, cache: KeyValueCache, prompts: Sequence[Sequence[int]], adapters: Adapters
    ) -> Tensor:
        """Run the prompts through the model, equal ones once; returns the final hidden state of each, `[B, D]`."""
        first: dict[tuple[int, ...], int] = {}
        for row, prompt in enumerate(prompts):
            first.setdefault(tuple(prompt), row)
        unique = torch.tensor(list(first.values()), device=model.device)
        place = {prompt: index for index, prompt in enumerate(first)}
        source = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=model.device)
        mask = self.mask[unique, : self.width]
        branch = model.decoder.trunk(self.tokens[unique, : self.width], mask, cache, adapters)
        hidden = model.decoder.top(branch, mask, adapters, cache)[:, -1]
        cache.advance(self.width)
        if len(unique) < len(prompts):
            cache.keep(source)
        if self.branch.numel():
            self.branch[:, : self.width] = branch[source]
        return hidden[source]

    def advance(
        self, model: LanguageModel, cache: KeyValueCache, rows: Tensor, columns: slice, adapters: Adapters
    ) -> Tensor:
        """Run sampled columns through the model; returns the final hidden state of the last one, `[rows, D]`."""
        mask = self.mask[rows, : columns.stop]
        branch = model.decoder.trunk(self.tokens[rows, columns], mask, cache, adapters)
        if self.branch.numel():
            self.branch[rows, columns] = branch
        hidden = model.decoder.top(branch, mask, adapters, cache)
        cache.advance(columns.stop - columns.start)
        return hidden[:, -1]

    def record(self, rows: Tensor, step: int, token: Tensor, logprob: Tensor, stop_ids: tuple[int, ...]) -> None:
        """Write the tokens of rows that have not ended, and note which end now."""
        live = ~self.finished[rows]
        rows, token = rows[live], token[live]
        self.tokens[rows, self.width + step] = token
        self.mask[rows, self.width + step] = True
        self.logprob[rows, step] = logprob[live].to(self.logprob.dtype)
        self.length[rows] = step + 1
        self.finished[rows] = torch.isin(token, torch.tensor(stop_ids, device=token.device))

    def tell(self, rows: Tensor, step: int, on_step: OnStep) -> None:
        """Tell of the tokens of a step, and end the rows that are to end."""
        told = [row for row in rows.tolist() if int(self.length[row]) == step + 1]
        ended = on_step({row: int(self.tokens[row, self.width + step]) for row in told})
        if ended:
            self.finished[list(ended)] = True

    def rollout(self) -> Rollout:
        """What was sampled, cut to the longest response."""
        used = int(self.length.max())
        dialogues = Dialogues(self.tokens[:, : self.width + used], self.prompt_length, self.length, self.width)
        branch = self.branch[:, : self.width + used]
        return Rollout(dialogues, self.logprob[:, :used], branch, self.finished)


@torch.no_grad()
def sample(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    adapters: Adapters,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
    keep_branch: bool = False,
    top_p: float = 1.0,
    on_token: Callable[[int], None] | None = None,
    on_step: OnStep | None = None,
) -> Rollout:
    """Sample one response a prompt from softmax(logits / temperature), with no truncation of the distribution.

    That is with `top_p` 1; below it only the nucleus is sampled from (see `sharpened`), for serving and never for
    training. One uniform number a row and step is drawn for the whole batch, so that rows that have ended do not shift
    the others' random numbers. `on_token` is called with the first row's tokens as they come (for chat).
    """
    state = _Decoding(model, prompts, max_new_tokens, keep_branch)
    cache = model.decoder.new_cache(state.width + max_new_tokens)
    rows = torch.arange(len(prompts), device=model.device)
    hidden = state.prefill(model, cache, prompts, adapters)
    for step in range(max_new_tokens):
        if step > 0:
            columns = slice(state.width + step - 1, state.width + step)
            hidden = state.advance(model, cache, rows, columns, adapters)
        if bool(state.finished.all()):
            break
        rows, hidden = _compact(state, cache, rows, hidden)
        uniform = torch.rand(len(prompts), generator=generator, dtype=torch.float64).to(model.device)
        token, logprob = draw(sharpened(model.decoder.logits(hidden, adapters), temperature, top_p), uniform[rows])
        state.record(rows, step, token, logprob, model.stop_ids)
        if on_token is not None:
            on_token(int(state.tokens[0, state.width + step]))
        if on_step is not None:
            state.tell(rows, step, on_step)
    else:
        if keep_branch:
            state.advance(model, cache, rows, slice(state.width + step, state.width + step + 1), adapters)
    return state.rollout()


def sharpened(logits_B_V: Tensor, temperature: float, top_p: float = 1.0) -> Tensor:
    """Logits of the distribution to draw from; temperature 0 leaves the likeliest token alone.

    With `top_p` below 1 it is the nucleus (Holtzman et al. 2020, section 3.1): the fewest tokens, from the likeliest
    on, whose probabilities at this temperature come to `top_p`.
    """
    if temperature == 0:
        best = logits_B_V.argmax(-1, keepdim=True)
        return torch.full_like(logits_B_V, -torch.inf).scatter(-1, best, 0.0)
    scaled = logits_B_V / temperature
    if top_p >= 1:
        return scaled
    ordered, order = scaled.sort(-1, descending=True)
    probability = ordered.softmax(-1)
    outside = probability.cumsum(-1) - probability >= top_p
    outside[..., 0] = False
    return scaled.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), -torch.inf)


def draw(logits_B_V: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and their log-probabilities by inverting the cumulative distribution at `uniform_B` in [0, 1).

    Exact sampling from softmax(logits) up to the rounding of a float32 sum, with one random number a row.
    """
    logprob_B_V = functional.log_softmax(logits_B_V, -1)
    cumulative = logprob_B_V.exp().cumsum(-1)
    total = cumulative[:, -1:]
    below = total.nextafter(torch.zeros_like(total))  # a uniform number near 1 rounds to 1 in float32
    target = torch.minimum(uniform_B.to(cumulative.dtype)[:, None] * total, below)
    token = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return token, logprob_B_V.gather(-1, token[:, None])[:, 0]


def _compact(state: _Decoding, cache: KeyValueCache, rows: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Drop rows that have ended once they are many; their last token has been through the model by now."""
    live = ~state.finished[rows]
    if int(live.sum()) > COMPACT_BELOW * len(rows):
        return rows, hidden
    cache.keep(live)
    return rows[live], hidden[live]
