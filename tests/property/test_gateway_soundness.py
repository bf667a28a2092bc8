"""Whatever an upstream streams, however it is cut and broken: what goes out is the redaction of what was said."""

import asyncio
import json
import random
import re
from typing import Any

import pytest
from guard_gateway import MemoryLog, NobodyHolds, live_policy, scan_for_secrets
from hostile_texts import tricky_text
from hypothesis import given, settings
from hypothesis import strategies as st
from made_secrets import token_with_check

from backstay.guard.enforcer import Enforcer, Exchange
from backstay.guard.gateway.chat import read_chat, read_completion
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.keys import LOCAL
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.replies import fault_of
from backstay.guard.gateway.requests import parse_body
from backstay.guard.gateway.responses import read_responses
from backstay.guard.gateway.responses_stream import StreamedResponse
from backstay.guard.gateway.settings import LimitSettings, checked
from backstay.guard.gateway.sse import EventReader, event_bytes
from backstay.guard.gateway.streaming import StreamedAnswer
from backstay.guard.output_plan import OutputPlan, PackKinds
from backstay.guard.redaction import Redaction, redact
from backstay.scan.secrets import secret_pack, secret_rules

pytestmark = pytest.mark.property
POLICY = """
policy: 1
rules:
  - id: clean
    effect: permit
    match: {point: [model.output, model.tool_call]}
    obligations: [{redact: {kinds: [secrets]}}]
    reason: no secrets
  - {id: no-pay, effect: forbid, match: {point: model.tool_call, tool: pay}, reason: nobody pays}
"""
PACK = secret_pack()
KINDS = PackKinds(PACK, {rule.kind: "secrets" for rule in PACK.rules})
SECRETS = [token_with_check("ghp_", seed) for seed in range(4)]
PLANS = {
    "flow": OutputPlan("", Redaction(PACK)),
    "deny": OutputPlan("", Redaction(PACK, deny=frozenset({"jwt", "private_key"}))),
    "whole": OutputPlan("answers: whole", None),
}
SETTINGS = checked({"guard": 1, "upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}}, "test")
FIELDS = ("content", "reasoning_content", "refusal")
KINDS_OF_PART = (("output_text", "content_index"), ("refusal", "content_index"), ("reasoning_text", "content_index"))
redact("é")


class Scans:
    def findings(self, text: str, point: str) -> Any:
        return scan_for_secrets(text, point)


def context_of(body: dict[str, Any], read: Any = read_chat) -> Context:
    live, log = live_policy(POLICY), MemoryLog()
    enforcer = Enforcer(live, live.histories, log)
    request = read(body, LimitSettings())
    exchange = Exchange("x1", "ann", "ann")
    return Context(exchange, request, SETTINGS, enforcer, Scans(), KINDS, NobodyHolds(), Limits(5), LOCAL, "digest")


def pieces_of(rng: random.Random, text: str) -> list[str]:
    cuts = sorted(rng.randint(0, len(text)) for _ in range(rng.choice((0, 1, 3, 12))))
    return [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def text_of(rng: random.Random) -> str:
    parts = [rng.choice(("so", "é", "\u200b", *SECRETS, tricky_text(rng, secret_rules()))) for _ in range(4)]
    return " ".join(parts).encode("utf-8", "ignore").decode()


def odd(rng: random.Random) -> Any:
    secret = rng.choice(SECRETS)
    return rng.choice((secret, [secret], {secret: secret}, f"a {secret} b", 7, None, True, "", -1, 1e300))


class Said:
    """What an upstream says, by choice and field, and the chunks that say it."""

    def __init__(self, rng: random.Random, choices: int) -> None:
        self.rng, self.texts = rng, dict[tuple[int, str], str]()
        self.calls: dict[int, list[str]] = {}
        self.queues: list[list[dict[str, Any]]] = []
        for index in range(choices):
            self.queues.append(self._choice(index))

    def _choice(self, index: int) -> list[dict[str, Any]]:
        rng, rows = self.rng, []
        for field in rng.sample(FIELDS, rng.randint(1, 3)):
            text = self.texts[index, field] = text_of(rng)
            rows += [{"index": index, "delta": {field: piece}} for piece in pieces_of(rng, text)]
        self.calls[index] = []
        for place in range(rng.choice((0, 0, 1, 2))):
            name = rng.choice(("look", "pay"))
            self.calls[index].append(name)
            args = json.dumps({"q": rng.choice(("x", *SECRETS)), "n": place})
            head = {"index": place, "id": rng.choice(("call", *SECRETS)), "type": "function"}
            rows.append({"index": index, "delta": {"tool_calls": [head | {"function": {"name": name}}]}})
            rows += [
                {"index": index, "delta": {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}}
                for piece in pieces_of(rng, args)
            ]
        finish = rng.choice(("stop", "length", rng.choice(SECRETS)))
        return [*rows, {"index": index, "delta": {}, "finish_reason": finish}]

    def chunks(self) -> list[dict[str, Any]]:
        out = []
        while any(self.queues):
            queue = self.rng.choice([queue for queue in self.queues if queue])
            names = ("id", "model", "object", "system_fingerprint", "service_tier", "created", "usage", "x")
            frame = {name: odd(self.rng) for name in names if self.rng.random() < 0.1}
            if self.rng.random() < 0.1:
                frame["usage"] = {"total_tokens": 5, "told": odd(self.rng), "more": {"x": odd(self.rng)}}
            row = queue.pop(0)
            if self.rng.random() < 0.05 and "delta" in row:
                value = odd(self.rng)
                name = self.rng.choice((*SECRETS, "audio", "annotations"))
                row["delta"][name] = f" {value} " if isinstance(value, str) else value
            out.append(frame | {"choices": [row]})
        return out


def broken(rng: random.Random, chunks: list[Any]) -> list[bytes]:
    """The chunks as data of events, one of them spoilt."""
    rows = [json.dumps(chunk).encode() for chunk in chunks]
    place, secret = rng.randrange(len(rows)), rng.choice(SECRETS)
    bad: list[Any] = [
        {"choices": [{"index": secret, "delta": {"content": "x"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": secret}]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "type": secret}]}}]},
        {"choices": [{"index": 0, "delta": secret}]},
        {"choices": secret},
        {"error": {"message": f"failed: {secret}", "code": secret}},
        {"error": secret},
        {"choices": [{"index": 0, "delta": {"tool_calls": secret, "function_call": secret}}]},
        secret,
    ]
    spoilt = rng.choice((rows[place][: len(rows[place]) // 2], json.dumps(rng.choice(bad)).encode()))
    return [*rows[:place], spoilt]  # Without a piece in its midst a text would be another one.


def sent_by(rng: random.Random, streamed: Any, rows: list[bytes], *, done: bool) -> tuple[bytes, bool]:
    """All that goes out, read from bytes that are cut anywhere; and whether it ended well."""
    raw = b"".join(event_bytes(row) for row in rows) + (b"data: [DONE]\n\n" if done else b"")
    reader, out = EventReader(1_000_000), []
    cuts = sorted(rng.randint(0, len(raw)) for _ in range(rng.choice((0, 3, 40))))
    for low, high in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        piece, error = streamed.take_all(list(reader.feed(raw[low:high])))
        out.append(piece)
        if error is not None:
            return b"".join((*out, event_bytes(fault_of(error).body()))), False
        if streamed.ended:
            break
    try:
        last, _ = asyncio.run(streamed.close())
    except Exception as error:  # noqa: BLE001  as the gateway does
        return b"".join((*out, event_bytes(fault_of(error).body()))), False
    return b"".join((*out, last)), True


def no_secret(raw: bytes) -> None:
    for secret in SECRETS:
        assert secret.encode() not in raw


def masked(text: str) -> str:
    """The text without the kinds in its masks: of two findings in one place either may name it."""
    return re.sub(r"\[REDACTED:\w+\]", "[REDACTED]", text)


def told_of(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in EventReader(10_000_000).feed(raw) if event.data != b"[DONE]"]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(sorted(PLANS)), st.booleans(), st.booleans())
def test_a_streamed_chat(seed: int, plan: str, spoilt: bool, done: bool) -> None:
    rng = random.Random(seed)
    n = rng.randint(1, 3)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True, "n": n}
    context = context_of(body | {"stream_options": {"include_usage": True}})
    streamed, said = StreamedAnswer(context, PLANS[plan]), Said(rng, n)
    chunks = said.chunks()
    rows = broken(rng, chunks) if spoilt else [json.dumps(chunk).encode() for chunk in chunks]
    raw, well = sent_by(rng, streamed, rows, done=done)
    no_secret(raw)
    assert raw.endswith(b"data: [DONE]\n\n") if well else "error" in told_of(raw)[-1]
    if spoilt:
        return
    texts: dict[tuple[int, str], str] = {}
    calls: dict[int, list[str]] = {}
    for choice in (choice for chunk in told_of(raw) for choice in chunk.get("choices", ())):
        for name, text in choice["delta"].items():
            if isinstance(text, str) and name != "role":
                texts[choice["index"], name] = texts.get((choice["index"], name), "") + text
        calls.setdefault(choice["index"], []).extend(
            c["function"]["name"] for c in choice["delta"].get("tool_calls", ())
        )
    for index, names in calls.items():
        assert names in ([], said.calls[index]) and "pay" not in names
    if plan == "whole":
        return
    for key, text in ((key, text) for key, text in texts.items() if key in said.texts):
        whole = masked(redact(said.texts[key], PLANS[plan].redaction)[0])
        before, notice, _ = masked(text).partition("[guard: ")
        before = before.removesuffix("\n") if notice else before
        if before:
            assert whole.startswith(before)
            if well and "[guard: " not in "".join(text for (i, _), text in texts.items() if i == key[0]):
                assert before == whole


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(sorted(PLANS)), st.booleans())
def test_a_streamed_response(seed: int, plan: str, spoilt: bool) -> None:
    rng = random.Random(seed)
    context = context_of({"model": "m", "input": "x", "stream": True}, read_responses)
    streamed = StreamedResponse(context, PLANS[plan])
    kind, place = rng.choice(KINDS_OF_PART)
    text, name = text_of(rng), rng.choice(("look", "pay"))
    event = {"output_text": "response.output_text", "refusal": "response.refusal"}.get(kind, "response.reasoning_text")
    rows: list[Any] = [
        {"type": f"{event}.delta", "output_index": 0, place: 0, "delta": piece} for piece in pieces_of(rng, text)
    ]
    call = {"type": "function_call", "call_id": rng.choice(("c", *SECRETS)), "name": name, "arguments": '{"q": 1}'}
    rows.append({"type": "response.output_item.done", "output_index": 1, "item": call})
    part = {"type": kind, "refusal" if kind == "refusal" else "text": text}
    item = {"type": "reasoning" if kind == "reasoning_text" else "message", "content": [part]}
    frame = {name: odd(rng) for name in ("id", "created_at", "model", "usage", "status") if rng.random() < 0.3}
    rows.append({"type": "response.completed", "response": frame | {"output": [item, call]}})
    rows[0]["response"] = {name: odd(rng) for name in ("id", "model", "created_at")}
    raw, well = sent_by(
        rng, streamed, broken_rows(rng, rows) if spoilt else [json.dumps(r).encode() for r in rows], done=True
    )
    no_secret(raw)
    events = told_of(raw)
    if well:
        assert events[-1]["type"] in ("response.completed", "response.incomplete")
    else:
        assert "error" in events[-1]
    if name == "pay":
        assert b'"name":"pay"' not in raw
    if well and not spoilt and plan != "whole":
        flowed = "".join(e["delta"] for e in events if e["type"] == f"{event}.delta" and e["output_index"] == 0)
        whole = masked(redact(text, PLANS[plan].redaction)[0])
        assert whole.startswith(masked(flowed).partition("[guard: ")[0].removesuffix("\n"))


def broken_rows(rng: random.Random, rows: list[Any]) -> list[bytes]:
    secret, bad = rng.choice(SECRETS), [dict(row) for row in rows]
    place = rng.randrange(len(bad))
    names = ("output_index", "content_index", "item", "response", "error", "type")
    bad[place] |= rng.choice(({rng.choice(names): odd(rng)}, {"delta": [secret]}))
    bad[place + 1 : -1] = []
    if rng.random() < 0.2:
        bad[place] = {"type": "response.failed", "response": {"error": {"message": secret, "code": secret}}}
    return [json.dumps(row).encode() for row in bad]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PARTS = (
    "role",
    "content",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "name",
    "type",
    "text",
    "id",
    "function",
    "call_id",
)
WORDS = (
    "user",
    "assistant",
    "tool",
    "function",
    "text",
    "refusal",
    "function_call",
    "function_call_output",
    "reasoning",
)
MESSAGE = st.dictionaries(
    st.sampled_from((*PARTS, "arguments", "output", "input", "custom", "summary", "audio")),
    st.sampled_from(WORDS)
    | JSON
    | st.lists(st.dictionaries(st.sampled_from(PARTS), st.sampled_from(WORDS) | JSON, max_size=3), max_size=2),
    max_size=5,
)
BODY = st.builds(
    lambda *parts: {"model": "m"} | {name: value for part in parts for name, value in part.items()},
    st.dictionaries(st.sampled_from(("messages", "input")), st.lists(MESSAGE, min_size=1, max_size=3), min_size=2),
    st.dictionaries(
        st.sampled_from(("tools", "functions", "prompt")), st.lists(MESSAGE, max_size=2) | JSON, max_size=1
    ),
    st.dictionaries(
        st.sampled_from(
            (
                *("n", "stream", "stream_options", "prediction", "modalities", "audio", "prompt", "suffix", "best_of"),
                *("echo", "instructions", "background", "model", "logprobs", "include", "tool_choice", "metadata"),
                *("previous_response_id", "messages", "input"),
            )
        ),
        JSON,
        max_size=1,
    ),
)


@settings(max_examples=400, deadline=None)
@given(BODY | JSON, st.sampled_from((read_chat, read_completion, read_responses)))
def test_whatever_is_asked_is_read_or_refused(body: Any, read: Any) -> None:
    try:
        request = read(parse_body(json.dumps(body).encode()), LimitSettings())
    except ApiFault:
        return
    assert all(isinstance(slot.text, str) for slot in request.slots)
    assert request.conversation() is not None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_json(raw: bytes) -> None:
    try:
        assert isinstance(parse_body(raw), dict)
    except ApiFault as fault:
        assert fault.status == 400  # noqa: PT017  any other error fails the test by itself
