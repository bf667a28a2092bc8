"""What one message of a client is carried out with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from backstay.guard.call_facts import CallFacts
from backstay.guard.gateway.context import Context
from backstay.guard.mcp.catalog import ToolJudge
from backstay.guard.mcp.headers import stateless_headers
from backstay.guard.mcp.messages import RpcRequest
from backstay.guard.mcp.methods import STATELESS
from backstay.guard.mcp.pins import Pins
from backstay.guard.mcp.sessions import McpSession
from backstay.guard.mcp.settings import McpServerSettings
from backstay.guard.mcp.trail import Trail
from backstay.guard.mcp.transport import Transport


class ArgumentCheck(Protocol):
    """Checks arguments against a JSON Schema, in bounded time."""

    def __call__(self, schema: Mapping[str, Any], args: Mapping[str, Any]) -> str:
        """What is wrong first, "" where nothing is; raises BackstayError for a schema that cannot be checked."""


@dataclass
class McpServer:
    """One configured server."""

    name: str
    settings: McpServerSettings
    transport: Transport
    judge: ToolJudge

    @property
    def asked(self) -> frozenset[str]:
        """What it may ask of clients."""
        return frozenset(self.settings.client_requests)

    @property
    def pins(self) -> Pins:
        """Its pinned tools."""
        return self.judge.pins


@dataclass(kw_only=True)
class McpContext(Context):
    """A message at work; arguments come from a tool where a result of this session said them."""

    trail: Trail
    server: McpServer
    session: McpSession

    def facts(self, tool: str, args: Mapping[str, Any]) -> CallFacts:
        """What is known of a tool call before it is made."""
        return self.trail.facts(tool, args, self.tools)

    def headers(self, request: RpcRequest | None = None, schema: Any = None) -> dict[str, str]:
        """Headers of the revision for a message to the server."""
        revision = self.session.revision
        if request is not None and revision in STATELESS:
            return stateless_headers(revision, request, schema)
        return {"mcp-protocol-version": revision} if revision else {}

    @property
    def media(self) -> bool:
        """Whether pictures, sounds and files pass."""
        return self.settings.media == "allow"
