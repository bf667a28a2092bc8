"""Requests as clients send them, read strictly: where texts stand in them, which tools they offer, what they ask for.

The body is parsed once and written anew for the upstream, so that nothing is read one way here and another way there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from backstay.guard.conversation import Message
from backstay.guard.gateway.faults import ApiFault, bad_request
from backstay.guard.json_texts import texts_in
from backstay.policy.points import is_plain_name

Role = Literal["system", "user", "assistant", "tool"]
Api = Literal["chat", "completions", "responses", "mcp"]
ROLES: Mapping[Any, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


Call = tuple[str, str]
"""Name and arguments of a tool call."""
NO_CALL: Call = ("", "")
ELSEWHERE = ("web_search_options", "plugins", "models", "chat_template")
"""Fields by which some upstreams search, run tools, ask other models, or write the conversation anew."""


class Slot(NamedTuple):
    """A place in the body where a text stands; writing to it changes what is sent upstream."""

    holder: Any
    key: Any
    role: Role
    tool: str = ""
    arguments: str = ""
    """Of the call that a tool's output answers, as JSON."""

    @property
    def text(self) -> str:
        """What stands there now."""
        value: str = self.holder[self.key]
        return value

    def put(self, text: str) -> None:
        """Replace it."""
        self.holder[self.key] = text


@dataclass
class ModelRequest:
    """One request to a model, whichever API it came by."""

    api: Api
    body: dict[str, Any]
    model: str
    stream: bool
    choices: int
    slots: list[Slot]
    tools: dict[str, Any] = field(default_factory=dict)
    """Parameters' schemas of the tools that are offered, by name."""
    tool_texts: list[tuple[str, str]] = field(default_factory=list)
    """What is said about each tool, by name."""
    media: list[str] = field(default_factory=list)
    """Kinds of parts that no scanner reads."""
    include_usage: bool = False

    def conversation(self) -> list[Message]:
        """Who said what, for provenance."""
        return [Message(slot.role, slot.text, slot.tool, slot.arguments) for slot in self.slots]


def parse_body(raw: bytes) -> dict[str, Any]:
    """The body as JSON; raises ApiFault 400."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the body is not a JSON object")
    return body


def basics(body: dict[str, Any], api: Api, most_choices: int) -> tuple[str, bool, int]:
    """Model, whether it streams, and n; raises ApiFault 400."""
    model, stream, n = body.get("model"), body.get("stream", False), body.get("n", 1)
    if not is_plain_name(model):
        raise bad_request(f"model is {_shown(model)}, not the name of a model")
    if stream not in (True, False, None) or (isinstance(stream, int | float) and not isinstance(stream, bool)):
        raise bad_request(f"stream is {_shown(stream)}, not true or false")
    n = 1 if n is None else n
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= most_choices:
        raise bad_request(f"n is {_shown(n)}; it can be 1 to {most_choices}")
    for name in ELSEWHERE:
        if body.get(name):
            raise bad_request(f"{name} is not offered here: the upstream would do what the guard does not see")
    if api != "responses" and body.get("background"):
        raise bad_request("background is not offered here")
    return str(model), bool(stream), n


def refuse_logprobs(body: Mapping[str, Any]) -> None:
    """Probabilities of tokens spell out what is redacted; raises ApiFault 400 where they are asked for."""
    included = body.get("include")
    if body.get("logprobs") or body.get("top_logprobs") or (included and "logprob" in str(included)):
        raise bad_request("logprobs tell what is redacted and are not given; the operator can set logprobs: allow")


def text_parts(
    holder: Any, key: Any, role: Role, call: Call, media: list[str], kinds: tuple[str, ...]
) -> Iterator[Slot]:
    """Slots of a content: a text, or a list of parts of which those of `kinds` are text; raises ApiFault 400."""
    content = holder.get(key)
    if content is None:
        return
    if isinstance(content, str):
        yield Slot(holder, key, role, *call)
        return
    if not isinstance(content, list):
        raise bad_request(f"{key} is {_shown(content)}, neither text nor a list of parts")
    for place, part in enumerate(content):
        if isinstance(part, str):
            yield Slot(content, place, role, *call)
            continue
        if not isinstance(part, dict):
            raise bad_request(f"a part of {key} is {_shown(part)}, not an object")
        kind = part.get("type")
        named = "refusal" if kind == "refusal" else "text"
        if kind in kinds and isinstance(part.get(named), str):
            yield Slot(part, named, role, *call)
        else:
            media.append(str(kind)[:40])


def role_of(message: Mapping[str, Any]) -> Role:
    """Whose message it is; raises ApiFault 400."""
    value = message.get("role")
    role = ROLES.get(value) if isinstance(value, str) else None
    if role is None:
        raise bad_request(f"a message has the role {_shown(value)}; known: {', '.join(ROLES)}")
    return role


def note_call(calls: dict[str, Call], name: Any, call: Call) -> None:
    """Note a call by its id; raises ApiFault 400 where another one has it, since one's output would be the other's."""
    if not isinstance(name, str):
        return
    if name in calls:
        raise bad_request(f"two calls have the id {_shown(name)}")
    calls[name] = call


def tool_name(value: Any) -> str:
    """The name of a tool; raises ApiFault 400 for one that only looks like a name."""
    if not is_plain_name(value):
        raise bad_request(f"a tool is named {_shown(value)}; names are ASCII letters, digits, _ . : / @ + -")
    return str(value)


def offered(request: ModelRequest, name: str, about: Any, parameters: Any) -> None:
    """Note a tool that the request offers; raises ApiFault 400 for two of a name."""
    if name in request.tools:
        raise bad_request(f"two tools are named {name}")
    request.tools[name] = parameters
    request.tool_texts.append((name, texts_in(about)))


def listed(body: Mapping[str, Any], key: str, most: int) -> list[dict[str, Any]]:
    """A list of objects, [] where there is none; raises ApiFault 400."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad_request(f"{key} is not a list of objects")
    if len(value) > most:
        raise ApiFault(413, "too_large", f"{key} has {len(value)} entries; at most {most} are taken")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
