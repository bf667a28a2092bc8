"""Headers of the stateless revisions, which repeat what the body says; ours are made from the body that was decided on.

Encoding of values: MCP 2026-07-28, "Streamable HTTP", custom headers.
"""

import base64
import string
from collections.abc import Iterator, Mapping
from typing import Any

from backstay.guard.mcp.messages import HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, RpcFault, RpcRequest
from backstay.guard.mcp.methods import CAPABILITIES_META, NAMED, STATELESS, VERSION_META

_TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
_BEGIN, _END = "=?base64?", "?="
MAX_HEADERS = 32
MAX_VALUE = 4096


def check_stateless(request: RpcRequest, headers: Mapping[str, str]) -> str:
    """The revision of a request that stands for itself; raises RpcFault where headers and body disagree."""
    meta = request.params.get("_meta")
    if not isinstance(meta, dict) or VERSION_META not in meta or CAPABILITIES_META not in meta:
        raise RpcFault(INVALID_PARAMS, f"_meta needs {VERSION_META} and {CAPABILITIES_META}", status=400)
    version = headers.get("mcp-protocol-version", "")
    if meta[VERSION_META] != version:
        raise _differs("mcp-protocol-version")
    if headers.get("mcp-method") != request.method:
        raise _differs("mcp-method")
    named = request.params.get(NAMED.get(request.method, ""))
    if named is not None and decoded(headers.get("mcp-name")) != named:
        raise _differs("mcp-name")
    if version not in STATELESS:
        told = {"supported": list(STATELESS), "requested": version}
        raise UnsupportedVersion(told)
    return version


class UnsupportedVersion(RpcFault):
    """The revision is not spoken here; clients read `data` as it stands in the specification."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(UNSUPPORTED_VERSION, "this revision is not spoken here", status=400)
        self.told = told

    def error(self) -> dict[str, Any]:
        """The error object."""
        return {"code": self.code, "message": self.message, "data": self.told}


def stateless_headers(version: str, request: RpcRequest, schema: Any = None) -> dict[str, str]:
    """The headers for the server; `schema` of a tool's arguments names those that are repeated in headers."""
    headers = {"mcp-protocol-version": version, "mcp-method": request.method}
    named = request.params.get(NAMED.get(request.method, ""))
    if isinstance(named, str):
        headers["mcp-name"] = encoded(named)
    args = request.params.get("arguments")
    if isinstance(args, dict):
        for path, token in _annotated(schema):
            value = _at(args, path)
            if isinstance(value, str | int):
                text = str(value).lower() if isinstance(value, bool) else str(value)
                headers[f"mcp-param-{token.lower()}"] = encoded(text)
    return headers


def encoded(value: str) -> str:
    """A header's value; what a header cannot hold is written in base64."""
    printable = all(" " <= char <= "~" for char in value)
    if printable and value == value.strip() and not value.startswith(_BEGIN) and len(value) <= MAX_VALUE:
        return value
    whole = _BEGIN + base64.b64encode(value.encode()).decode() + _END
    if len(whole) > MAX_VALUE:
        raise RpcFault(INVALID_PARAMS, "a value that is repeated in a header is too long")
    return whole


def decoded(value: str | None) -> str | None:
    """What `encoded` was given; None for what it never gives."""
    if value is None or not (value.startswith(_BEGIN) and value.endswith(_END)):
        return value
    try:
        text = base64.b64decode(value[len(_BEGIN) : -len(_END)], validate=True).decode()
    except ValueError:  # No base64, no ASCII, or no UTF-8.
        return None
    return text


def _annotated(schema: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Properties that are repeated in a header: reached by `properties` alone, each token once."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    seen: set[str] = set()
    while stack:
        path, node = stack.pop()
        properties = node.get("properties") if isinstance(node, dict) else None
        for name, inner in properties.items() if isinstance(properties, dict) else ():
            stack.append(((*path, name), inner))
            token = inner.get("x-mcp-header") if isinstance(inner, dict) else None
            if isinstance(token, str) and 0 < len(token) <= 100 and set(token) <= _TOKEN and token.lower() not in seen:
                seen.add(token.lower())
                if len(seen) > MAX_HEADERS:
                    return
                yield (*path, name), token


def _at(args: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        args = args.get(name) if isinstance(args, dict) else None
    return args


def _differs(header: str) -> RpcFault:
    return RpcFault(HEADER_MISMATCH, f"the header {header} does not say what the body says", status=400)
