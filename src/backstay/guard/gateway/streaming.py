"""Streams of chat completions and completions: text flows as far as it is decided, tool calls wait for the end."""

from collections.abc import Sequence
from typing import Any

import orjson

from backstay.guard.gateway.answers import (
    Choice,
    MalformedAnswer,
    choices_of,
    parse_object,
    read_calls,
    read_message,
    written_calls,
)
from backstay.guard.gateway.around import NAMES, TIMES, finish_of, frame_of, usage_of
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.outgoing import FILTERED, judge_texts
from backstay.guard.gateway.settling import Settled, settle_calls, settle_whole
from backstay.guard.gateway.sse import DONE, Event, event_bytes
from backstay.guard.gateway.streamed import DENIED, Streamed
from backstay.guard.output_plan import OutputPlan
from backstay.guard.stream import TextStream

AROUND = frozenset({*NAMES, *TIMES})
NO_TEXT = frozenset({"role", "tool_calls", "function_call", "logprobs"})


class StreamedAnswer(Streamed):
    """One answer while it streams; `take` gives the bytes that may go out, `close` the rest."""

    def __init__(self, context: Context, plan: OutputPlan) -> None:
        super().__init__(context, plan)
        self._legacy = context.request.api == "completions"
        self._choices: dict[int, Choice] = {}
        self._streams: dict[tuple[int, str], TextStream] = {}
        self._begun: set[int] = set()
        self._over: set[int] = set()
        self._denied: set[int] = set()
        self._frame: dict[str, Any] = {
            "id": f"guard-{context.exchange.id}",
            "object": "text_completion" if self._legacy else "chat.completion.chunk",
            "created": 0,
            "model": context.request.model,
        }
        self._framed: set[str] = set()
        self.done = False

    @classmethod
    def made(cls, context: Context, frame: dict[str, Any], choices: Sequence[Choice]) -> bytes:
        """The chunks of choices that are whole already."""
        answer = cls(context, OutputPlan("made", None))
        answer._frame |= frame
        return b"".join(answer._last_chunks(choice) for choice in choices)

    @property
    def ended(self) -> bool:
        """Whether nothing that the upstream still says can go out."""
        return self.done or len(self._denied) == self._context.request.choices

    def abandon(self) -> None:
        """The client is gone: what was said is decided on once more, for the journal."""
        self._put_together()
        for choice in self._choices.values():
            judge_texts(self._context, choice, late=True)

    def take(self, event: Event) -> bytes:
        """One event; what may go out now. Raises MalformedAnswer, or ApiFault for an error of the upstream."""
        if event.data == b"[DONE]":
            self.done = True
            return b""
        chunk = parse_object(event.data)
        if chunk.get("error"):
            raise upstream_error(self._context, chunk["error"])
        self._take_frame(chunk)
        if isinstance(chunk.get("usage"), dict):
            self.usage = usage_of(chunk["usage"])
        most = self._context.request.choices
        return b"".join(self._piece(raw) for raw in choices_of(chunk, most))

    async def close(self) -> tuple[bytes, Settled]:
        """The upstream is done: decide on what is left; the last bytes, `[DONE]` included."""
        open_choices = [index for index in self._choices if index not in self._over]
        if not self._choices or (open_choices and not self.ended):
            raise MalformedAnswer("the upstream's stream broke off")
        self._put_together()
        out = [self._finish_texts(choice) for choice in self._choices.values() if not self._plan.whole]
        choices = [self._choices[index] for index in sorted(self._choices)]
        if self._plan.whole:
            settled = await settle_whole(self._context, choices)
        else:
            settled = await self._settle_streamed(choices)
        out += [self._last_chunks(choice) for choice in choices]
        if settled.effect != "allow":
            out.append(self._chunk([], {"backstay": settled.facts(self._context.exchange.id)}))
        if self._context.request.include_usage and self.usage is not None:
            out.append(self._chunk([], {"usage": self.usage}))
        return b"".join((*out, DONE)), settled

    def _take_frame(self, chunk: dict[str, Any]) -> None:
        """What stands around the choices, as it was first said."""
        new = {name: chunk[name] for name in AROUND if name in chunk and name not in self._framed}
        if new:
            self._frame |= frame_of(self._context.scans, new)
            self._framed |= {name for name, value in new.items() if value is not None}

    def _put_together(self) -> None:
        for (index, name), pieces in self._said.items():
            self._choices[index].texts[name] = "".join(pieces)

    async def _settle_streamed(self, choices: list[Choice]) -> Settled:
        """Texts have gone out, redacted: they are scanned whole once more, and what is found then is an incident."""
        late = False
        for choice in choices:
            said = choice.texts
            ruling = judge_texts(self._context, choice, late=True)
            choice.texts = {}
            if choice.index in self._denied:
                choice.calls, choice.finish = {}, FILTERED
            elif ruling.decision.effect != "allow" and said:
                late = True
                choice.calls, choice.finish = {}, FILTERED
        settled = await settle_calls(self._context, choices)
        return settled._replace(effect="deny") if late or self._denied else settled

    def _piece(self, raw: dict[str, Any]) -> bytes:
        choice = self._choices.setdefault(raw.get("index", 0), Choice(raw.get("index", 0)))
        if choice.index in self._over:
            return b""
        delta = {"text": raw.get("text")} if self._legacy else raw.get("delta")
        finish = raw.get("finish_reason")
        if isinstance(finish, str):
            self._over.add(choice.index)
            choice.finish = finish_of(finish)
        if self._plan.whole or not isinstance(delta, dict):
            self._collect(choice, delta)
            return b""
        return self._flow(choice, delta)

    def _collect(self, choice: Choice, delta: Any) -> None:
        """Keep texts and calls until the end."""
        if not isinstance(delta, dict):
            read_message(choice, delta)
            return
        texts = {name: value for name, value in delta.items() if isinstance(value, str) and name not in NO_TEXT}
        for name, value in texts.items():
            if choice.may_hold(name):
                self._said.setdefault((choice.index, name), []).append(value)
        read_message(choice, {name: value for name, value in delta.items() if name not in texts})

    def _flow(self, choice: Choice, delta: dict[str, Any]) -> bytes:
        """Text through its stream; calls are kept."""
        released: dict[str, Any] = {}
        for name, value in delta.items():
            if name in NO_TEXT or not value:
                continue
            if not isinstance(value, str) or not choice.may_hold(name):
                choice.dropped.add(name[:40])
                continue
            self._said.setdefault((choice.index, name), []).append(value)
            text = self._feed(choice, name, value)
            if text:
                released[name] = text
        if "tool_calls" in delta or "function_call" in delta:
            read_calls(choice, delta)
        first = self._first(choice)
        if not released and not first:
            return b""
        return self._chunk([self._text_row(choice.index, first | released)])

    def _feed(self, choice: Choice, name: str, value: str) -> str:
        if self._plan.redaction is None:
            return value
        key = (choice.index, name)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = TextStream(self._plan.redaction)
        if choice.index in self._denied:
            return ""
        text = stream.feed(value)
        return text + self._deny(choice) if stream.denied else text

    def _deny(self, choice: Choice) -> str:
        self._denied.add(choice.index)
        return DENIED

    def _finish_texts(self, choice: Choice) -> bytes:
        """What streams still hold."""
        released = {}
        for (index, name), stream in self._streams.items():
            if index != choice.index or index in self._denied:
                continue
            text = stream.finish()
            if stream.denied:
                text += self._deny(choice)
            if text:
                released[name] = text
        return self._chunk([self._text_row(choice.index, released)]) if released else b""

    def _first(self, choice: Choice) -> dict[str, Any]:
        if choice.index in self._begun or self._legacy:
            return {}
        self._begun.add(choice.index)
        return {"role": "assistant"}

    def _last_chunks(self, choice: Choice) -> bytes:
        """The texts that are left (a whole answer, or a notice), calls, and the reason for the end."""
        delta = self._first(choice) | choice.texts
        calls = {} if self._legacy else written_calls(choice, streamed=True)
        out = self._chunk([self._text_row(choice.index, delta)]) if delta else b""
        if calls:
            out += self._chunk([{"index": choice.index, "delta": calls, "finish_reason": None}])
        last = self._text_row(choice.index, {}) | {"finish_reason": choice.finish or "stop"}
        return out + self._chunk([last])

    def _text_row(self, index: int, texts: dict[str, Any]) -> dict[str, Any]:
        if self._legacy:
            return {"index": index, "text": texts.get("text", ""), "finish_reason": None, "logprobs": None}
        return {"index": index, "delta": texts, "finish_reason": None, "logprobs": None}

    def _chunk(self, rows: list[dict[str, Any]], more: dict[str, Any] | None = None) -> bytes:
        return event_bytes(orjson.dumps({**self._frame, "choices": rows, **(more or {})}))


def upstream_error(context: Context, error: Any) -> ApiFault:
    """An upstream's error in our words, with its message scanned like any text of a model."""
    message = error.get("message") if isinstance(error, dict) else error
    choice = Choice(0, {"content": str(message or "no message")[:2000]})
    ruling = judge_texts(context, choice)
    said = choice.texts["content"] if ruling.decision.effect == "allow" else "its message is withheld"
    return ApiFault(502, "upstream_error", f"the upstream reports an error: {said}")
