"""OpenAI's answers of completions, whole or as server-sent events."""

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from backstay.learn.serving.completion_requests import CompletionRequest
from backstay.learn.serving.generation import Generated


class EventStream:
    """An answer as server-sent events; `begin` sends the head, before the first of them."""

    def __init__(self, request: CompletionRequest, begin: Callable[[], None], write: Callable[[bytes], object]) -> None:
        self._request, self._head, self._write, self.begun = request, begin, write, False
        kind = "chat.completion.chunk" if request.api == "chat" else "text_completion"
        self._frame = _frame(request, kind)

    def piece(self, choice: int, text: str) -> None:
        """A piece of a choice's text."""
        self._begin()
        self._choice(choice, text, None)

    def end(self, found: Generated) -> None:
        """Why each choice ended, the usage where it was asked for, and the end."""
        self._begin()
        for choice, reason in enumerate(found.reasons):
            self._choice(choice, "", reason)
        if self._request.include_usage:
            self.event(self._frame | {"choices": [], "usage": usage_of(found)})
        self._write(b"data: [DONE]\n\n")

    def event(self, value: Any) -> None:
        """One event."""
        self._write(b"data: " + json.dumps(value, allow_nan=False).encode() + b"\n\n")

    def _begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        self._head()
        if self._request.api == "chat":
            for choice in range(self._request.sampling.n):
                row = {"index": choice, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
                self.event(self._frame | {"choices": [row]})

    def _choice(self, choice: int, text: str, reason: str | None) -> None:
        if self._request.api == "chat":
            told: dict[str, Any] = {"delta": {"content": text} if text else {}}
        else:
            told = {"text": text, "logprobs": None}
        self.event(self._frame | {"choices": [{"index": choice, **told, "finish_reason": reason}]})


def whole_answer(request: CompletionRequest, found: Generated) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    chat = request.api == "chat"
    rows = []
    for choice, (text, reason) in enumerate(zip(found.texts, found.reasons, strict=True)):
        told: dict[str, Any] = {"text": text}
        if chat:
            told = {"message": {"role": "assistant", "content": text, "refusal": None}}
        rows.append({"index": choice, **told, "logprobs": None, "finish_reason": reason})
    frame = _frame(request, "chat.completion" if chat else "text_completion")
    return frame | {"choices": rows, "usage": usage_of(found)}


def usage_of(found: Generated) -> dict[str, int]:
    """Tokens of prompt and answers."""
    total = found.prompt_tokens + found.completion_tokens
    return {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "total_tokens": total,
    }


def _frame(request: CompletionRequest, kind: str) -> dict[str, Any]:
    name = f"{'chatcmpl' if request.api == 'chat' else 'cmpl'}-{uuid4().hex}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": request.model}
