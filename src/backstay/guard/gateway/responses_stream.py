"""Streams of the Responses API: text flows as far as it is decided, tool calls wait for the end."""

from collections.abc import Mapping
from typing import Any

import orjson

from backstay.guard.gateway.answers import Choice, MalformedAnswer, parse_object
from backstay.guard.gateway.around import frame_of, usage_of
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.outgoing import FILTERED, judge_texts
from backstay.guard.gateway.responses import (
    NOTICE,
    parts_of,
    read_output,
    read_response,
    text_key,
    text_part,
    written_item,
    written_items,
    written_response,
)
from backstay.guard.gateway.settling import Settled, settle_calls, settle_whole
from backstay.guard.gateway.sse import Event, event_bytes
from backstay.guard.gateway.streamed import DENIED, Streamed
from backstay.guard.gateway.streaming import upstream_error
from backstay.guard.output_plan import OutputPlan
from backstay.guard.stream import TextStream

DELTAS = {
    "response.output_text.delta": ("output_text", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.reasoning_summary_text.delta": ("summary_text", "summary_index"),
    "response.reasoning_text.delta": ("reasoning_text", "content_index"),
}
ENDS = ("response.completed", "response.incomplete", "response.failed")
NAMES = {
    "output_text": "response.output_text",
    "refusal": "response.refusal",
    "summary_text": "response.reasoning_summary_text",
    "reasoning_text": "response.reasoning_text",
}
AROUND = ("id", "created_at", "model")
MAX_PLACE = 1000
MAX_PARTS = 1000
"""Parts of an answer that hold text."""


class StreamedResponse(Streamed):
    """One response while it streams; the same shape as `StreamedAnswer`."""

    def __init__(self, context: Context, plan: OutputPlan) -> None:
        super().__init__(context, plan)
        self._choice = Choice(0)
        self._sent: dict[str, list[str]] = {}
        self._streams: dict[str, TextStream] = {}
        self._items: set[int] = set()
        self._frame: dict[str, Any] = {}
        self._last: Mapping[str, Any] | None = None
        self._framed: set[str] = set()
        self._number = 0
        self._begun = self._denied = False

    @property
    def ended(self) -> bool:
        """Whether nothing that the upstream still says can go out."""
        return self._last is not None or self._denied

    def abandon(self) -> None:
        """The client is gone: what was said is decided on once more, for the journal."""
        self._put_together()
        judge_texts(self._context, self._choice, late=True)

    async def close(self) -> tuple[bytes, Settled]:
        """The upstream is done: decide on what is left; the last bytes."""
        if self._last is None and not self._denied:
            raise MalformedAnswer("the upstream's stream broke off")
        choice = self._choice
        if self._plan.whole:
            choice = self._choice = read_response(self._last or {})[0]
            settled = await settle_whole(self._context, [choice])
            return self._begin() + self._whole_items(choice) + self._end(choice, settled), settled
        out = self._finish_texts()
        self._put_together()
        ruling = judge_texts(self._context, choice, late=True)
        choice.texts = {}
        if self._denied or ruling.decision.effect != "allow":
            choice.calls, choice.finish = {}, FILTERED
        settled = await settle_calls(self._context, [choice])
        if choice.finish == FILTERED and settled.effect == "allow":
            settled = settled._replace(effect="deny")
        notice = choice.texts.pop(NOTICE, "")
        choice.texts = {key: "".join(pieces) for key, pieces in self._sent.items()}
        out += self._texts_done(choice)
        if notice:
            choice.texts[NOTICE] = notice
        return out + self._whole_items(choice) + self._end(choice, settled), settled

    @classmethod
    def made(cls, context: Context, choices: list[Choice]) -> bytes:
        """The events of an answer that is whole already."""
        answer = cls(context, OutputPlan("made", None))
        return answer._begin() + answer._whole_items(choices[0]) + answer._end(choices[0], None)

    def take(self, event: Event) -> bytes:
        """One event; what may go out now. Raises MalformedAnswer, or ApiFault for an error of the upstream."""
        if event.data == b"[DONE]":
            return b""
        told = parse_object(event.data)
        kind = str(told.get("type"))
        if kind == "error" or told.get("error"):
            raise upstream_error(self._context, told.get("error") or told)
        if isinstance(told.get("response"), dict):
            self._take_frame(told["response"])
        if kind in ENDS:
            return self._ends(told)
        if kind == "response.output_item.done" and not self._plan.whole:
            self._keep_call(told)
        if kind in DELTAS and not self._plan.whole:
            return self._flow(told, *DELTAS[kind])
        return b""

    def _take_frame(self, response: Mapping[str, Any]) -> None:
        """What stands around the items, as it was first said."""
        new = {name: response[name] for name in AROUND if name in response and name not in self._framed}
        if new:
            self._frame |= frame_of(self._context.scans, new)
            self._framed |= {name for name, value in new.items() if value is not None}

    def _ends(self, told: Mapping[str, Any]) -> bytes:
        last = told.get("response")
        if not isinstance(last, dict):
            raise MalformedAnswer("the last event holds no response")
        if told["type"] == "response.failed":
            raise upstream_error(self._context, last.get("error"))
        self._last = last
        self.usage = usage_of(last.get("usage"))
        self._frame["usage"] = self.usage
        self._choice.finish = "stop" if told["type"] == "response.completed" else "length"
        return b""

    def _keep_call(self, told: Mapping[str, Any]) -> None:
        item = told.get("item")
        if isinstance(item, dict) and str(item.get("type")) in ("function_call", "custom_tool_call"):
            read_output(self._choice, _place(told, "output_index"), item)

    def _flow(self, told: Mapping[str, Any], kind: str, part_name: str) -> bytes:
        delta = told.get("delta")
        if not isinstance(delta, str):
            raise MalformedAnswer("a delta holds no text")
        output, part = _place(told, "output_index"), _place(told, part_name)
        key = text_key(output, part, kind)
        self._said.setdefault((0, key), []).append(delta)
        released = self._feed(key, delta)
        return self._delta(output, part, kind, key, released) if released else b""

    def _feed(self, key: str, delta: str) -> str:
        if self._plan.redaction is None:
            return delta
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= MAX_PARTS:
                raise MalformedAnswer(f"the answer has more than {MAX_PARTS} parts")
            stream = self._streams[key] = TextStream(self._plan.redaction)
        text = stream.feed(delta)
        return self._cut(stream, text)

    def _cut(self, stream: TextStream, text: str) -> str:
        if stream.denied and not self._denied:
            self._denied = True
            return text + DENIED
        return text

    def _delta(self, output: int, part: int, kind: str, key: str, text: str) -> bytes:
        out = self._begin()
        if output not in self._items:
            self._items.add(output)
            item = written_item(self._context.exchange.id, Choice(0, {key: ""}), output)
            out += self._event("response.output_item.added", output_index=output, item=_empty(item))
        if key not in self._sent:
            self._sent[key] = []
            out += self._part_event("added", output, part, kind, "")
        self._sent[key].append(text)
        return out + self._text_event("delta", output, part, kind, delta=text)

    def _finish_texts(self) -> bytes:
        """What streams still hold."""
        out = b""
        for key, stream in [] if self._denied else list(self._streams.items()):
            text = self._cut(stream, stream.finish())
            if text:
                out += self._delta(int(key[:4]), int(key[5:9]), key[10:], key, text)
        return out

    def _texts_done(self, choice: Choice) -> bytes:
        out = b""
        for output, part, kind, text in parts_of(choice):
            name = "refusal" if kind == "refusal" else "text"
            out += self._text_event("done", output, part, kind, **{name: text})
            out += self._part_event("done", output, part, kind, text)
        for output in sorted(self._items):
            item = written_item(self._context.exchange.id, choice, output)
            out += self._event("response.output_item.done", output_index=output, item=item)
        return out

    def _whole_items(self, choice: Choice) -> bytes:
        """Events of items of which nothing has gone out."""
        out = b""
        for place, item in enumerate(written_items(self._context.exchange.id, choice)):
            index = int(item["id"].rpartition("_")[2])
            if index in self._items:
                continue
            out += self._event("response.output_item.added", output_index=index, item=_empty(item))
            out += self._inner(index if place >= 0 else place, item)
            out += self._event("response.output_item.done", output_index=index, item=item)
        return out

    def _inner(self, index: int, item: Mapping[str, Any]) -> bytes:
        if item["type"] == "function_call":
            same = {"item_id": item["id"], "output_index": index}
            first = self._event("response.function_call_arguments.delta", **same, delta=item["arguments"])
            return first + self._event(
                "response.function_call_arguments.done", **same, arguments=item["arguments"], name=item["name"]
            )
        out = b""
        for part, content in enumerate(item.get("content") or () if item["type"] == "message" else ()):
            kind = content["type"]
            text = content["refusal"] if kind == "refusal" else content["text"]
            out += self._part_event("added", index, part, kind, "")
            out += self._text_event("delta", index, part, kind, delta=text)
            out += self._text_event("done", index, part, kind, **{"refusal" if kind == "refusal" else "text": text})
            out += self._part_event("done", index, part, kind, text)
        return out

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        response = self._response(self._choice, []) | {"status": "in_progress"}
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _end(self, choice: Choice, settled: Settled | None) -> bytes:
        response = self._response(choice, written_items(self._context.exchange.id, choice))
        if settled is not None and settled.effect != "allow":
            response["backstay"] = settled.facts(self._context.exchange.id)
        kind = "response.completed" if response["status"] == "completed" else "response.incomplete"
        return self._begin() + self._event(kind, response=response)

    def _response(self, choice: Choice, items: list[dict[str, Any]]) -> dict[str, Any]:
        return written_response(self._context.exchange.id, self._context.request, choice, self._frame, items)

    def _put_together(self) -> None:
        self._choice.texts = {key: "".join(pieces) for (_, key), pieces in self._said.items()}

    def _part_event(self, verb: str, output: int, part: int, kind: str, text: str) -> bytes:
        item = written_item(self._context.exchange.id, Choice(0, {text_key(output, part, kind): ""}), output)["id"]
        if kind == "summary_text":
            inner: dict[str, Any] = {"type": kind, "text": text}
            name = f"response.reasoning_summary_part.{verb}"
            return self._event(name, item_id=item, output_index=output, summary_index=part, part=inner)
        inner = {"type": kind, "text": text} if kind == "reasoning_text" else text_part(kind, text)
        return self._event(
            f"response.content_part.{verb}", item_id=item, output_index=output, content_index=part, part=inner
        )

    def _text_event(self, verb: str, output: int, part: int, kind: str, **facts: Any) -> bytes:
        item = written_item(self._context.exchange.id, Choice(0, {text_key(output, part, kind): ""}), output)["id"]
        index = "summary_index" if kind == "summary_text" else "content_index"
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        return self._event(f"{NAMES[kind]}.{verb}", item_id=item, output_index=output, **{index: part}, **facts, **more)

    def _event(self, kind: str, **facts: Any) -> bytes:
        told = {"type": kind, "sequence_number": self._number, **facts}
        self._number += 1
        return event_bytes(orjson.dumps(told), kind)


def _place(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_PLACE:
        raise MalformedAnswer(f"{name} is no place within an answer")
    return value


def _empty(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as it begins."""
    told = dict(item)
    for name in ("content", "summary"):
        if name in told:
            told[name] = []
    for name in ("arguments", "input"):
        if name in told:
            told[name] = ""
    return told | ({"status": "in_progress"} if "status" in told else {})
