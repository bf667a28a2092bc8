"""A base model with its tokenizer and chat template: what every stage of training is given."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from backstay.learn.models.chat_template import ChatTemplate
from backstay.learn.models.decoder import Decoder
from backstay.records import Message, Prompt


@dataclass(frozen=True)
class LanguageModel:
    """One base in memory; adapters say whose weights a call sees."""

    name: str
    digest: str
    decoder: Decoder
    tokenizer: Tokenizer
    template: ChatTemplate
    stop_ids: tuple[int, ...]
    pad_id: int
    system: str
    max_prompt_tokens: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.embedding.device

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The dialogue through the chat template, ready for the assistant's turn."""
        turns = list(messages)
        if self.system and turns[0].role != "system":
            turns.insert(0, Message(role="system", content=self.system))
        return self.template.render(turns)

    def prompt_tokens(self, prompt: Prompt) -> list[int] | None:
        """Token ids of a prompt; while it is too long the oldest turns go, but not its own system message.

        None when one turn alone is too long.
        """
        own_system = int(len(prompt.messages) > 1 and prompt.messages[0].role == "system")
        head, turns = prompt.messages[:own_system], prompt.messages[own_system:]
        while turns:
            tokens = self.encode(self.prompt_text([*head, *turns]))
            if len(tokens) <= self.max_prompt_tokens:
                return tokens
            turns = turns[_next_user_turn(turns) :]
        return None

    def encode(self, text: str) -> list[int]:
        """Token ids of text in which control tokens count as such."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def response_tokens(self, text: str, *, finished: bool, limit: int) -> list[int]:
        """Token ids of an answer, with the stop token when it is whole; cut to `limit`."""
        tokens = self.encode(self.template.defuse(text))
        whole = [*tokens, self.stop_ids[0]] if finished else tokens
        return whole[:limit]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of response tokens, control tokens left out."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text.strip()


def _next_user_turn(turns: Sequence[Message]) -> int:
    later = (i for i, turn in enumerate(turns) if i > 0 and turn.role == "user")
    return next(later, len(turns))
