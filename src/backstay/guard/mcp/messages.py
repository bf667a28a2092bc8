"""JSON-RPC messages of MCP, read strictly: one object of known shape and bounded depth, with an id of a known type."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from backstay.errors import BackstayError

Id = str | int
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
DENIED, HELD, UPSTREAM, UNAVAILABLE, LIMITED = -32010, -32011, -32012, -32013, -32014
"""Codes of the guard's own, from the band that JSON-RPC leaves to implementations."""
MAX_ID = 200
MAX_METHOD = 200
_HEAD = {"jsonrpc": "2.0"}


class RpcFault(BackstayError):
    """An answer that is a JSON-RPC error; `status` is that of HTTP."""

    def __init__(self, code: int, message: str, *, status: int = 200, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.data = code, status, dict(data or {})

    def error(self) -> dict[str, Any]:
        """The error object."""
        return {"code": self.code, "message": self.message} | ({"data": {"backstay": self.data}} if self.data else {})


class RpcRequest(NamedTuple):
    """Wants an answer."""

    id: Id
    method: str
    params: dict[str, Any]

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return _HEAD | {"id": self.id, "method": self.method, "params": self.params}


class RpcNotification(NamedTuple):
    """Wants none."""

    method: str
    params: dict[str, Any]

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return _HEAD | {"method": self.method} | ({"params": self.params} if self.params else {})


class RpcResponse(NamedTuple):
    """An answer: a result, or an error."""

    id: Id | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        told = {"result": self.result} if self.error is None else {"error": self.error}
        return _HEAD | {"id": self.id} | told


Message = RpcRequest | RpcNotification | RpcResponse


def read_message(raw: bytes, depth: int) -> Message:
    """One message; raises RpcFault."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RpcFault(PARSE_ERROR, f"this is not JSON: {error}", status=400) from error
    if isinstance(value, list):
        raise _invalid("batches are not taken (revision 2025-06-18 took them out of MCP); send messages one by one")
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise _invalid("this is no JSON-RPC 2.0 message")
    if deeper_than(value, depth):
        raise _invalid(f"the message is nested deeper than {depth}")
    return _response(value) if "method" not in value else _asked(value)


def _asked(value: dict[str, Any]) -> RpcRequest | RpcNotification:
    method, params = value["method"], value.get("params")
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD or not method.isascii():
        raise _invalid("the method is no plain name")
    if params is not None and not isinstance(params, dict):
        raise _invalid("params are no object")
    if "result" in value or "error" in value:
        raise _invalid("the message is a request and an answer at once")
    if "id" not in value:
        return RpcNotification(method, params or {})
    if not is_id(value["id"]):
        raise _invalid("the id is neither text nor a whole number")
    return RpcRequest(value["id"], method, params or {})


def _response(value: dict[str, Any]) -> RpcResponse:
    told = [name for name in ("result", "error") if name in value]
    if len(told) != 1 or not isinstance(value[told[0]], dict):
        raise _invalid("the message is neither a request nor an answer with one result or error")
    given = value.get("id")
    if not is_id(given) and not (given is None and told == ["error"]):
        raise _invalid("the id is neither text nor a whole number")
    error = value.get("error")
    if error is not None and (not _is_whole(error.get("code")) or not isinstance(error.get("message"), str)):
        raise _invalid("the error has no code and message")
    return RpcResponse(given, value.get("result"), error)


def is_id(value: object) -> bool:
    """Whether this can be the id of a request."""
    return _is_whole(value) or (isinstance(value, str) and len(value) <= MAX_ID)


def key_of(value: Id) -> tuple[bool, Id]:
    """An id as a key under which 1 and "1" are different."""
    return isinstance(value, str), value


def deeper_than(value: Any, depth: int) -> bool:
    """Whether objects and lists stand within each other more than `depth` times."""
    layer = [value]
    for _ in range(depth):
        layer = [
            inner
            for item in layer
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _invalid(message: str) -> RpcFault:
    return RpcFault(INVALID_REQUEST, message, status=400)
