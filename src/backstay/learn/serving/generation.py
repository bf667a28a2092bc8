"""One generation of a served policy: n choices of one prompt, told piece by piece, ended from outside."""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

import torch

from backstay.learn.decoding import sample
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.serving.text_stream import TextStream

FinishReason = Literal["stop", "length"]
OnText = Callable[[int, str], None]
SEED_BITS = 63


class Cancelled(Exception):
    """Nobody waits for the answer any longer."""


@dataclass(frozen=True)
class Policy:
    """A model with the adapters that make it the policy; `max_tokens` and `temperature` are its defaults."""

    model: LanguageModel
    adapters: tuple[Adapter, ...]
    max_tokens: int
    temperature: float
    max_prompt_tokens: int
    """Longest prompt taken."""
    max_answer_tokens: int
    """Longest answer that may be asked for."""


@dataclass(frozen=True)
class Sampling:
    """How to sample; `seed` None is a new one each time."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 16
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Generated:
    """What was generated: texts and why each ended, a row a choice; tokens count those that end an answer too."""

    texts: tuple[str, ...]
    reasons: tuple[FinishReason, ...]
    prompt_tokens: int
    completion_tokens: int


@dataclass
class _Choices:
    """The choices of one generation while they grow."""

    streams: list[TextStream]
    stop_ids: tuple[int, ...]
    on_text: OnText | None
    cancelled: Event
    count: int = 0
    ended: set[int] = field(default_factory=set)

    def step(self, token_of_row: dict[int, int]) -> Collection[int]:
        """Take one token a row; returns the rows that a stop text has ended. Raises Cancelled."""
        if self.cancelled.is_set():
            raise Cancelled
        self.count += len(token_of_row)
        for row, token in token_of_row.items():
            stream = self.streams[row]
            if token in self.stop_ids:
                self.ended.add(row)
                continue
            self._tell(row, stream.take(token))
        return [row for row in token_of_row if self.streams[row].stopped]

    def close(self) -> None:
        """Let go what was held back."""
        for row, stream in enumerate(self.streams):
            self._tell(row, stream.end())

    def reason(self, row: int) -> FinishReason:
        """Why a choice ended."""
        return "stop" if row in self.ended or self.streams[row].stopped else "length"

    def _tell(self, row: int, piece: str) -> None:
        if piece and self.on_text is not None:
            self.on_text(row, piece)


def generate(
    policy: Policy,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    on_text: OnText | None = None,
    cancelled: Event | None = None,
) -> Generated:
    """Sample `n` choices; `on_text(choice, piece)` is told their text as it grows. Raises Cancelled."""
    model = policy.model
    seed = secrets.randbits(SEED_BITS) if sampling.seed is None else sampling.seed
    streams = [TextStream(model.decode, sampling.stop) for _ in range(sampling.n)]
    choices = _Choices(streams, model.stop_ids, on_text, cancelled or Event())
    sample(
        model,
        [list(prompt)] * sampling.n,
        adapters=policy.adapters,
        max_new_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        generator=torch.Generator().manual_seed(seed),
        on_step=choices.step,
    )
    choices.close()
    reasons = tuple(choices.reason(row) for row in range(sampling.n))
    return Generated(tuple(stream.sent for stream in streams), reasons, len(prompt), choices.count)
