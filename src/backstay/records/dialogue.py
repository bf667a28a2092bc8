"""What is asked and what is answered."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from backstay.records.base import Record
from backstay.records.ids import content_id

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "heldout"]


class Message(Record):
    """One turn of a dialogue."""

    role: Role
    content: str


class Prompt(Record):
    """A dialogue that waits for an answer; its id is the hash of the messages."""

    id: str
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    source: str
    split: Split = "train"
    tags: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def make(
        cls, messages: tuple[Message, ...], *, source: str, split: Split = "train", tags: dict[str, Any] | None = None
    ) -> Self:
        """Build a prompt with its content id."""
        prompt_id = content_id("prompt", [message.payload() for message in messages])
        return cls(id=prompt_id, messages=messages, source=source, split=split, tags=tags or {})


class Response(Record):
    """One answer to a prompt; its id is the hash of prompt, policy, text and ending."""

    id: str
    prompt_id: str
    text: str
    policy: str
    finished: bool = True
    sampling: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def make(
        cls, prompt_id: str, text: str, *, policy: str, finished: bool = True, sampling: dict[str, Any] | None = None
    ) -> Self:
        """Build a response with its content id; `finished` is false when the length limit cut it off."""
        response_id = content_id("response", [prompt_id, policy, text, finished])
        return cls(
            id=response_id, prompt_id=prompt_id, text=text, policy=policy, finished=finished, sampling=sampling or {}
        )


class Demonstration(Record):
    """An answer worth imitating, for supervised fine-tuning."""

    prompt: Prompt
    text: str
    source: str
