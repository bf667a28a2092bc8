"""Ragged token lists as padded batches whose masks come from lengths, never from searching tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dialogues:
    """Prompts padded on the left and responses on the right, so that every response starts at column P.

    `tokens_B_T` with T = P + R; `prompt_B` and `response_B` are lengths in tokens.
    """

    tokens_B_T: Tensor
    prompt_B: Tensor
    response_B: Tensor
    prompt_width: int

    @property
    def response_width(self) -> int:
        """Columns R kept for responses."""
        return self.tokens_B_T.shape[1] - self.prompt_width

    @property
    def mask_B_T(self) -> Tensor:
        """True at real tokens."""
        column = torch.arange(self.tokens_B_T.shape[1], device=self.tokens_B_T.device)[None]
        first, last = self.prompt_width - self.prompt_B[:, None], self.prompt_width + self.response_B[:, None]
        return (column >= first) & (column < last)

    @property
    def response_mask_B_R(self) -> Tensor:
        """True at real response tokens."""
        column = torch.arange(self.response_width, device=self.tokens_B_T.device)[None]
        return column < self.response_B[:, None]

    @property
    def responses_B_R(self) -> Tensor:
        """Response tokens."""
        return self.tokens_B_T[:, self.prompt_width :]

    def rows(self, index: Tensor) -> "Dialogues":
        """Some rows, with the same columns."""
        return Dialogues(self.tokens_B_T[index], self.prompt_B[index], self.response_B[index], self.prompt_width)

    def used_columns(self) -> slice:
        """The columns that hold at least one real token."""
        first = self.prompt_width - int(self.prompt_B.max())
        return slice(first, self.prompt_width + int(self.response_B.max()))

    def columns(self, used: slice) -> "Dialogues":
        """The same rows, cut to `used` columns."""
        return Dialogues(self.tokens_B_T[:, used], self.prompt_B, self.response_B, self.prompt_width - used.start)


def similar_rows(dialogues: Dialogues, rows: Tensor, size: int) -> list[Tensor]:
    """`rows` in groups of at most `size` of similar total length, so that little of a group is padding."""
    length = (dialogues.prompt_B + dialogues.response_B)[rows]
    return list(torch.split(rows[torch.argsort(length, stable=True)], size))


def pad_dialogues(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad_id: int) -> Dialogues:
    """Pad prompts on the left and responses on the right."""
    width = max((len(p) for p in prompts), default=0)
    room = max((len(r) for r in responses), default=0)
    tokens = torch.full((len(prompts), width + room), pad_id, dtype=torch.long)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        tokens[row, width - len(prompt) : width] = torch.tensor(prompt, dtype=torch.long)
        tokens[row, width : width + len(response)] = torch.tensor(response, dtype=torch.long)
    lengths = [torch.tensor([len(x) for x in side], dtype=torch.long) for side in (prompts, responses)]
    return Dialogues(tokens, lengths[0], lengths[1], width)


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first so that too little memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def shuffled(count: int, generator: torch.Generator) -> list[int]:
    """A random order of `count` indices."""
    return [int(i) for i in torch.randperm(count, generator=generator)]
