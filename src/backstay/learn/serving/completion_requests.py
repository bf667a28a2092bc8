"""OpenAI's requests for completions, as far as a policy of ours can honour them; the rest is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.serving.generation import Policy, Sampling
from backstay.records import Message

Api = Literal["chat", "completions"]
APIS: dict[str, Api] = {"/v1/chat/completions": "chat", "/v1/completions": "completions"}
SHARED = frozenset(
    {"model", "n", "temperature", "top_p", "max_tokens", "stop", "seed", "stream", "stream_options", "user"}
)
OWN: dict[Api, frozenset[str]] = {
    "chat": frozenset({"messages", "max_completion_tokens", "metadata"}),
    "completions": frozenset({"prompt"}),
}
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
INERT: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logprobs": (False,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "store": (False,),
    "echo": (False,),
    "best_of": (1,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True, False),
}
"""Parameters that are not served, with the values that ask for nothing; null always does."""
MAX_N, MAX_STOPS, MAX_STOP = 16, 4, 200
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class CompletionRequest:
    """A request that can be carried out."""

    api: Api
    model: str
    prompt: tuple[int, ...]
    sampling: Sampling
    stream: bool
    include_usage: bool


def read_request(api: Api, body: Any, policy: Policy) -> CompletionRequest:
    """Read a body; raises UsageError that names the parameter at fault."""
    if not isinstance(body, dict):
        raise UsageError("the body is not a JSON object")
    _refuse_unserved(api, body)
    model = body.get("model")
    if not isinstance(model, str):
        raise UsageError("`model` is missing, or no text")
    text = _chat_text(body, policy.model) if api == "chat" else _plain_text(body, policy.model)
    prompt = tuple(policy.model.encode(text))
    if not prompt:
        raise UsageError("the prompt is empty")
    if len(prompt) > policy.max_prompt_tokens:
        raise UsageError(f"the prompt has {len(prompt)} tokens; at most {policy.max_prompt_tokens} are taken")
    options = body.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return CompletionRequest(api, model, prompt, _sampling(api, body, policy), _flag(body, "stream"), usage)


def _refuse_unserved(api: Api, body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name in SHARED or name in OWN[api] or value is None:
            continue
        if not any(type(value) is type(fine) and value == fine for fine in INERT.get(name, ())):
            raise UsageError(f"`{name[:60]}` is not served by this model")


def _sampling(api: Api, body: Mapping[str, Any], policy: Policy) -> Sampling:
    names = ("max_completion_tokens", "max_tokens") if api == "chat" else ("max_tokens",)
    given = next((name for name in names if body.get(name) is not None), "max_tokens")
    most = policy.max_answer_tokens
    return Sampling(
        n=_whole(body, "n", 1, 1, MAX_N),
        temperature=_number(body, "temperature", policy.temperature, 0.0, 2.0),
        top_p=_number(body, "top_p", 1.0, 0.0, 1.0),
        max_tokens=_whole(body, given, min(policy.max_tokens, most), 1, most),
        stop=_stops(body.get("stop")),
        seed=None if body.get("seed") is None else _whole(body, "seed", 0, -MAX_SEED, MAX_SEED),
    )


def _whole(body: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = default if body.get(name) is None else body[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"`{name}` is {str(value)[:40]}; a whole number from {low} to {high} is taken")
    return value


def _number(body: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = default if body.get(name) is None else body[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"`{name}` is {str(value)[:40]}; a number from {low:g} to {high:g} is taken")
    return float(value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = False if body.get(name) is None else body[name]
    if not isinstance(value, bool):
        raise UsageError(f"`{name}` is {str(value)[:40]}; true or false is taken")
    return value


def _stops(value: Any) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    fine = isinstance(stops, list) and len(stops) <= MAX_STOPS
    if not fine or not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP for stop in stops):
        raise UsageError(f"`stop` is no text, nor up to {MAX_STOPS} texts of 1 to {MAX_STOP} characters")
    return tuple(stops)


def _plain_text(body: Mapping[str, Any], model: LanguageModel) -> str:
    """The prompt of a completion; control tokens in it count as text, as they do in a message."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise UsageError("`prompt` is no text; one text a request is taken")
    return model.template.defuse(prompt)


def _chat_text(body: Mapping[str, Any], model: LanguageModel) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UsageError("`messages` is no list, or empty")
    return model.prompt_text([_message(place, message) for place, message in enumerate(messages)])


def _message(place: int, message: Any) -> Message:
    role = ROLES.get(str(message.get("role"))) if isinstance(message, dict) else None
    if role is None:
        raise UsageError(f"`messages[{place}].role` is none of {', '.join(ROLES)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise UsageError(f"`messages[{place}]` holds tool calls, which this model does not read")
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(p, dict) and p.get("type") == "text" for p in content):
        parts = [part.get("text") for part in content]
        content = "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None
    if not isinstance(content, str):
        raise UsageError(f"`messages[{place}].content` is no text; pictures, sound and files are not read")
    return Message.model_validate({"role": role, "content": content})
