"""Settings of the MCP proxy: the part of guard.yaml under `mcp`."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from backstay.policy.points import is_glob
from backstay.records import Settings

ClientRequest = Literal["sampling/createMessage", "elicitation/create", "roots/list"]
OURS = frozenset({"host", "accept", "content-type", "content-length", "connection", "transfer-encoding", "origin"})


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError(f"{value!r} is no address such as https://tools.example.com/mcp")
    if parts.username or parts.password:
        raise ValueError("an address holds no user and password; send them with headers, from a variable")
    return value


def _pattern(value: str) -> str:
    if not is_glob(value):
        raise ValueError(f"{value!r} is no pattern of tool names")
    return value


def _header(value: str) -> str:
    name = value.lower()
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum()) or name in OURS or name.startswith("mcp-"):
        raise ValueError(f"{value!r} is no header that can be set here")
    return name


class McpServerSettings(Settings):
    """One MCP server: an address, or a command that the gateway starts."""

    url: Annotated[str, AfterValidator(lambda value: value and _address(value))] = ""
    """Address of its streamable HTTP endpoint; "" = it is started by `command`."""
    command: tuple[str, ...] = Field(default=(), strict=False)
    """Program and arguments, run without a shell and with an empty environment; one process for each session."""
    environment: tuple[str, ...] = Field(default=(), strict=False)
    """Names of variables that the program is given."""
    headers: dict[Annotated[str, AfterValidator(_header)], str] = Field(default_factory=dict)
    """Header -> environment variable that holds its value. A client's own headers are never passed on."""
    tools: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(default=("*",), strict=False)
    """Patterns of the tools that are offered; others are left out, and calls of them denied."""
    pin: bool = True
    """Whether a tool whose description or schema changed is left out until an operator pins it again."""
    new_tools: Literal["pin", "refuse"] = "pin"
    """A tool that is seen first: pinned as it is, or left out until an operator pins it."""
    tool_names: Literal["server/tool", "tool"] = "server/tool"
    """The name that policies see."""
    client_requests: tuple[ClientRequest, ...] = Field(default=(), strict=False)
    """What the server may ask of the client; sampling would let it use the client's model."""
    connect_s: float = Field(default=5.0, gt=0, le=600)
    """Seconds until a connection must stand."""
    first_byte_s: float = Field(default=120.0, gt=0, le=86_400)
    """Seconds until an answer must begin."""
    idle_s: float = Field(default=120.0, gt=0, le=86_400)
    """Seconds of silence within an answer after which it is given up."""
    connections: int = Field(default=256, ge=1, le=10_000)
    """Connections that are open at the same time."""

    @model_validator(mode="after")
    def _one_way(self) -> "McpServerSettings":
        if bool(self.url) == bool(self.command):
            raise ValueError("an MCP server has either url or command")
        if self.url and self.environment:
            raise ValueError("environment is for command; name variables of headers in headers")
        if self.command and self.headers:
            raise ValueError("headers are for url; name variables of the program in environment")
        return self


class McpLimits(Settings):
    """What sessions and messages may be at most: `mcp_limits` in guard.yaml."""

    message_bytes: int = Field(default=4_000_000, ge=1000)
    """Bytes of one message, either way."""
    depth: int = Field(default=64, ge=4, le=200)
    """Objects and lists within each other in one message."""
    stream_messages: int = Field(default=10_000, ge=1)
    """Messages that a server may send within one answer."""
    tools: int = Field(default=1000, ge=1, le=10_000)
    """Tools of one server; a server with more is not used."""
    catalog_s: float = Field(default=60.0, ge=0)
    """Seconds for which a server's tools count as known; then, and when it says that they changed, they are asked for
    again before a call."""
    sessions: int = Field(default=32, ge=1)
    """Sessions of one principal."""
    all_sessions: int = Field(default=5000, ge=1)
    """Sessions of everybody."""
    idle_s: float = Field(default=3600.0, gt=0)
    """Seconds without a message after which a session ends."""
    waiting: int = Field(default=64, ge=1)
    """Requests of one session that wait for an answer at the same time, either way."""
    trail_chars: int = Field(default=400_000, ge=1000)
    """Characters of results that are remembered for the provenance of arguments; beyond, every argument counts as a
    tool's."""
    origins: tuple[str, ...] = Field(default=(), strict=False)
    """Web origins that may ask, such as https://app.example.com; on loopback, pages of this machine may as well."""
