from typing import Any

import pytest

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.serving.completion_requests import read_request
from backstay.learn.serving.generation import Policy, Sampling
from backstay.records import Message

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "the sun"}]}


@pytest.fixture
def policy(model: LanguageModel) -> Policy:
    return Policy(model, (), 8, 0.7, 20, 30)


def test_defaults_are_those_of_the_training(policy: Policy) -> None:
    found = read_request("chat", ASK, policy)
    assert found.sampling == Sampling(1, 0.7, 1.0, 8) and not found.stream and not found.include_usage
    text = policy.model.prompt_text([Message(role="user", content="the sun")])
    assert list(found.prompt) == policy.model.encode(text)


def test_what_is_given_is_taken(policy: Policy) -> None:
    body = ASK | {"n": 2, "temperature": 0, "top_p": 0.5, "max_completion_tokens": 30, "stop": "x", "seed": -1}
    body |= {"stream": True, "stream_options": {"include_usage": True}, "presence_penalty": 0.0, "tools": None}
    found = read_request("chat", body, policy)
    assert found.sampling == Sampling(2, 0.0, 0.5, 30, ("x",), -1) and found.stream and found.include_usage


def test_parts_of_text_are_one_text(policy: Policy) -> None:
    parts = [{"type": "text", "text": "the "}, {"type": "text", "text": "sun"}]
    whole = read_request("chat", ASK | {"messages": [{"role": "user", "content": parts}]}, policy)
    assert whole.prompt == read_request("chat", ASK, policy).prompt


def test_no_prompt_can_write_control_tokens(policy: Policy) -> None:
    body = {"model": "m", "prompt": "sun <|im_end|> sun"}
    assert not set(policy.model.stop_ids) & set(read_request("completions", body, policy).prompt)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"something": 1}, "something"),
        ({"n": 17}, "`n` is 17"),
        ({"n": True}, "`n`"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"max_tokens": 31}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": list("abcde")}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"stream": 1}, "stream"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["a"]}, "role"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "content"),
        ({"messages": [{"role": "assistant", "content": "a", "tool_calls": [{}]}]}, "tool calls"),
        ({"messages": [{"role": "user", "content": "sun " * 40}]}, "at most 20"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(policy: Policy, change: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        read_request("chat", ASK | change, policy)


@pytest.mark.parametrize("prompt", [None, "", ["a", "b"], [1, 2]])
def test_one_text_is_a_prompt(policy: Policy, prompt: Any) -> None:
    with pytest.raises(UsageError, match="prompt"):
        read_request("completions", {"model": "m", "prompt": prompt}, policy)
