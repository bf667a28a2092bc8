"""Headers of the stateless revision, with the official package as the oracle of their encoding."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import decode_header_value, encode_header_value, mcp_param_headers, x_mcp_header_map

from backstay.guard.mcp.headers import check_stateless, decoded, encoded, stateless_headers
from backstay.guard.mcp.messages import RpcFault, RpcRequest

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_values_are_written_so_that_the_official_package_reads_them(value: str) -> None:
    assert decode_header_value(encoded(value)) == value
    assert decoded(encode_header_value(value)) == value
    assert encoded(value).isascii() and "\n" not in encoded(value)


@given(st.text(max_size=20))
def test_reading_never_raises(value: str) -> None:
    for given_value in (value, f"=?base64?{value}?="):
        assert decoded(given_value) is None or isinstance(decoded(given_value), str)


def test_arguments_are_repeated_as_the_official_client_does() -> None:
    properties: dict[str, Any] = {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "size": {"type": "integer", "x-mcp-header": "Size"},
        "none": {"type": "string", "x-mcp-header": "None"},
        "plain": {"type": "string"},
        "deep": {"type": "object", "properties": {"in": {"type": "string", "x-mcp-header": "In"}}},
    }
    schema = {"type": "object", "properties": properties}
    args = {"region": "n\u00f6rd", "dry": True, "size": 3, "plain": "x", "deep": {"in": "y"}}
    expected = {k.lower(): v for k, v in mcp_param_headers(x_mcp_header_map(schema), args).items()}
    made = stateless_headers("2026-07-28", RpcRequest(1, "tools/call", {"name": "t", "arguments": args}), schema)
    assert made == expected | {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "t"}


@pytest.mark.parametrize("token", ["a b", "x\r\ny", "", 7, "x" * 101])
def test_a_schema_cannot_make_other_headers(token: Any) -> None:
    schema = {"properties": {"a": {"x-mcp-header": token}}}
    made = stateless_headers("2026-07-28", RpcRequest(1, "tools/call", {"name": "t", "arguments": {"a": "v"}}), schema)
    assert made.keys() == {"mcp-protocol-version", "mcp-method", "mcp-name"}


def test_what_headers_say_is_what_the_body_says() -> None:
    request = RpcRequest(1, "tools/call", {"name": "l\u00f6k", "_meta": META})
    good = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": encoded("l\u00f6k")}
    assert check_stateless(request, good) == "2026-07-28"
    for wrong, code in (
        (good | {"mcp-method": "ping"}, -32020),
        (good | {"mcp-name": "other"}, -32020),
        ({"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call"}, -32020),
        (good | {"mcp-protocol-version": "2025-11-25"}, -32020),
    ):
        with pytest.raises(RpcFault) as raised:
            check_stateless(request, wrong)
        assert raised.value.code == code
    later = META | {"io.modelcontextprotocol/protocolVersion": "2030-01-01"}
    with pytest.raises(RpcFault) as raised:
        check_stateless(
            request._replace(params={"name": "l\u00f6k", "_meta": later}), good | {"mcp-protocol-version": "2030-01-01"}
        )
    assert raised.value.error()["data"] == {"supported": ["2026-07-28"], "requested": "2030-01-01"}
    with pytest.raises(RpcFault, match="_meta needs"):
        check_stateless(request._replace(params={"name": "l\u00f6k"}), good)
