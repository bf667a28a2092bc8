"""JSON-RPC messages are what they say, or refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.guard.mcp.messages import (
    RpcFault,
    RpcNotification,
    RpcRequest,
    RpcResponse,
    deeper_than,
    key_of,
    read_message,
)


def read(**fields: Any) -> Any:
    return read_message(json.dumps({"jsonrpc": "2.0"} | fields).encode(), 8)


def test_the_three_kinds() -> None:
    assert read(id=1, method="ping") == RpcRequest(1, "ping", {})
    assert read(id="a", method="x", params={"p": 1}) == RpcRequest("a", "x", {"p": 1})
    assert read(method="notifications/x") == RpcNotification("notifications/x", {})
    assert read(id=1, result={}) == RpcResponse(1, {})
    assert read(id=None, error={"code": -1, "message": "m"}) == RpcResponse(None, None, {"code": -1, "message": "m"})


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None, "result": {}},
        {"id": 1, "result": []},
        {"id": 1, "error": {"code": "x", "message": "m"}},
        {"id": 1, "error": {"code": True, "message": "m"}},
        {"id": 1, "error": {"code": 1}},
        {"id": []},
        {"id": 2**70, "method": "ping"},
        {"id": 1, "method": ""},
        {"id": 1, "method": "x" * 201},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
    ],
)
def test_other_shapes_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RpcFault) as raised:
        read(**fields)
    assert raised.value.code == -32600 and raised.value.status == 400


def test_what_is_read_is_what_is_sent_on() -> None:
    """A name that stands twice is read once, so nobody behind us reads the other one."""
    twice = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}'
    message = read_message(twice, 8)
    assert isinstance(message, RpcRequest)
    assert message.body() == {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "b"}}
    assert RpcResponse(1, None, {"code": 1, "message": ""}).body().keys() == {"jsonrpc", "id", "error"}


def test_ids_of_two_types_are_two_ids() -> None:
    assert key_of(1) != key_of("1") and key_of(1) == key_of(1)


def depth_of(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0)


@given(
    st.recursive(
        st.integers() | st.text(), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3)
    )
)
def test_depth_is_counted_without_recursion(value: Any) -> None:
    value = [value]
    for depth in range(1, 6):
        assert deeper_than(value, depth) == (depth_of(value) > depth)
