"""Settings of the gateway: guard.yaml, checked whole before anything listens."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from backstay.errors import UsageError
from backstay.guard.addresses import is_loopback
from backstay.guard.harvest.settings import HarvestSettings
from backstay.guard.mcp.settings import McpLimits, McpServerSettings
from backstay.policy.points import Point, is_glob
from backstay.policy.yaml_reading import read_yaml
from backstay.records import Settings
from backstay.scan import ScanSettings

STATE = ".backstay"
"""Folder of what the gateway keeps, beside guard.yaml."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is no address such as https://api.example.com/v1")
    if parts.username or parts.password:
        raise ValueError("an address holds no user and password; name the variable of the key with api_key_variable")
    return value.rstrip("/")


def _address_or_none(value: str) -> str:
    return _web_address(value) if value else ""


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme != "https" or not parts.hostname or value != f"https://{parts.netloc}" or "@" in value):
        raise ValueError(f"{value!r} is no origin such as https://approvals.example.com")
    return value


class UpstreamSettings(Settings):
    """A server of models behind the gateway: one at an address, or a run of ours that the gateway serves itself."""

    base_url: Annotated[str, AfterValidator(_address_or_none)] = ""
    """Where its API begins, `/v1` included; "" = `run` is served."""
    run: str = ""
    """A finished run of sft, ppo or dpo, or `base`: a worker serves it; see docs/guard/local_policy.md. "" = none."""
    project: str = "."
    """Folder of the project that `run` is in, from the folder of guard.yaml."""
    start_s: float = Field(default=120.0, gt=0, le=3600)
    """Seconds that the worker of `run` has to load it."""
    api_key_variable: str = ""
    """Environment variable that holds its key; "" = none is sent. A client's own key is never passed on."""
    models: tuple[str, ...] = ("*",)
    """Patterns of the models that it serves; the first upstream that fits is asked."""
    connect_s: float = Field(default=5.0, gt=0, le=600)
    """Seconds until a connection must stand."""
    first_byte_s: float = Field(default=120.0, gt=0, le=86_400)
    """Seconds until the answer must begin."""
    idle_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds of silence within an answer after which it is given up."""
    total_s: float = Field(default=900.0, gt=0, le=86_400)
    """Seconds that an answer may take as a whole."""
    retries: int = Field(default=2, ge=0, le=10)
    """How often a request is sent again that got no answer at all, or 429, 502, 503 or 504; 0 = never."""
    connections: int = Field(default=256, ge=1, le=10_000)
    """Connections that are open at the same time."""

    @model_validator(mode="after")
    def _one_source(self) -> "UpstreamSettings":
        if bool(self.base_url) == bool(self.run):
            raise ValueError("set base_url or run, and not both")
        if self.run and (self.models != ("*",) or self.api_key_variable):
            raise ValueError("a run has models named after it and a key of its own: leave models and key out")
        if self.run.startswith("-"):
            raise ValueError(f"{self.run!r} is no run")
        return self

    @field_validator("models")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not is_glob(pattern):
                raise ValueError(f"{pattern!r} is no pattern of model names")
        return patterns


class LimitSettings(Settings):
    """What a request and an answer may be at most."""

    body_bytes: int = Field(default=8_000_000, ge=1000)
    """Bytes of a request."""
    body_s: float = Field(default=60.0, gt=0, le=3600)
    """Seconds until the whole body of a request must be there."""
    answer_bytes: int = Field(default=32_000_000, ge=1000)
    """Bytes that an upstream may send for one answer."""
    event_bytes: int = Field(default=4_000_000, ge=1000)
    """Bytes of one event of a stream."""
    messages: int = Field(default=5000, ge=1)
    """Messages of a request, and tools of it."""
    choices: int = Field(default=16, ge=1, le=128)
    """The greatest `n`."""
    in_flight: int = Field(default=512, ge=1)
    """Requests at the same time; more are told to come again (429)."""
    drain_s: float = Field(default=30.0, ge=0, le=3600)
    """Seconds that running answers have to end when the gateway is told to stop."""


class AuditSettings(Settings):
    """What is kept of decisions."""

    database: str = f"{STATE}/guard.db"
    """Path (from the folder of guard.yaml) or SQLAlchemy URL of the ledger."""
    keys: str = f"{STATE}/keys"
    """Folder of the ledger's signing and digest keys."""
    contents: Literal["digests", "redacted", "full"] = "digests"
    """Texts in the ledger: keyed digests only, as released after redaction, or as they came."""
    max_wait_ms: float = Field(default=2.0, ge=0, le=1000)
    """Milliseconds that a row waits for others to be committed with."""


class HoldSettings(Settings):
    """Approvals."""

    approvers: str = ""
    """File of the people who may approve, of webhooks and escalation; "" = `.backstay/approvers.yaml` where that is
    there, else nobody: what is held stays held until it expires."""
    wait_s: float = Field(default=50.0, ge=0, le=300)
    """Longest time that a client may ask to wait for a decision (`Prefer: wait=N`)."""
    inbox_origin: Annotated[str, AfterValidator(_origin)] = ""
    """Where people reach the inbox, such as https://approvals.example.com; "" = at the gateway's own address."""


class ReleaseSettings(Settings):
    """Whose releases are served under `signed_only`."""

    trusted_keys: str = ""
    """Folder of the public keys that may sign releases; it must be set with `signed_only`."""
    revoked: str = ""
    """File of revoked releases and keys; "" = none is."""
    check_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds between two looks at whether files were touched, and what is revoked."""


class GuardSettings(Settings):
    """guard.yaml."""

    guard: Literal[1]
    """Version of this format."""
    host: str = "127.0.0.1"
    """Address to listen on; one that others can reach needs `keys`."""
    port: int = Field(default=8788, ge=0, le=65535)
    """Port; 0 = a free one."""
    policies: tuple[str, ...] = Field(default=(), strict=False)
    """Policy files, one policy together; none = the shipped default: tool calls are denied, secrets are redacted."""
    bundle: str = ""
    """A signed policy bundle in place of `policies`; "" = none."""
    trusted_keys: str = ""
    """Folder of the public keys that may sign `bundle`; "" = the ledger's own."""
    reload_s: float = Field(default=2.0, ge=0, le=3600)
    """Seconds between two looks at whether the policy has changed; 0 = only on SIGHUP."""
    upstreams: dict[Name, UpstreamSettings] = Field(default_factory=dict)
    """Servers of models by name; the first whose models fit is asked."""
    signed_only: bool = False
    """Serve signed releases only: each upstream is a run with a release that holds; see docs/guard/local_policy.md."""
    releases: ReleaseSettings = ReleaseSettings()
    """Whose releases those are."""
    mcp: dict[Name, McpServerSettings] = Field(default_factory=dict)
    """MCP servers by name, served at `/mcp/{name}`; see docs/guard/mcp.md."""
    pin_tools: bool = False
    """Whether a tool is left out of a request when it is not what the principal first offered under its name."""
    mcp_limits: McpLimits = McpLimits()
    """What MCP sessions and messages may be at most."""
    keys: str = ""
    """File of the virtual keys; "" = everybody on this machine is the principal `local`."""
    tool_roles: tuple[str, ...] = Field(default=(), strict=False)
    """Files that say what tools do and which outputs are trusted; see docs/guard/tool_roles.md."""
    media: Literal["deny", "allow"] = "deny"
    """Pictures, sound and files in requests, which no scanner reads."""
    logprobs: Literal["deny", "allow"] = "deny"
    """Probabilities of tokens, which spell out what is redacted; allowed they go out as they are."""
    answers: Literal["auto", "whole"] = "auto"
    """`auto` streams wherever the rules can be decided on the way; `whole` holds each answer until its end."""
    scan: ScanSettings = ScanSettings()
    """Scanners, and how long they may take; see docs/scan/bundle.md."""
    prompt_leaks: bool = False
    """Whether answers are compared with the system's prompt (kind `prompt_leak`), which holds them until their end."""
    on_unscanned: Literal["deny", "rules"] = "deny"
    """A text that a scanner did not finish: denied, or left to rules about `findings.not_scanned`."""
    limits: LimitSettings = LimitSettings()
    """What a request and an answer may be at most."""
    audit: AuditSettings = AuditSettings()
    """What is kept of decisions."""
    holds: HoldSettings = HoldSettings()
    """Approvals."""
    harvest: HarvestSettings = HarvestSettings()
    """What of the traffic is kept for rating and red-teaming; see docs/guard/harvest.md."""
    audit_before: tuple[Point, ...] = Field(default=("model.tool_call",), strict=False)
    """Points at which an allowed effect waits until its decision is on disk; denials and holds always do."""

    @model_validator(mode="after")
    def _closed(self) -> "GuardSettings":
        if not self.keys and not is_loopback(self.host):
            raise ValueError(f"host {self.host} is open to others and `keys` is not set: anybody could use it")
        if not self.upstreams and not self.mcp:
            raise ValueError("neither upstreams nor mcp is set: there is nothing to guard")
        if self.signed_only:
            unknown = [name for name, upstream in self.upstreams.items() if not upstream.run]
            if unknown:
                raise ValueError(f"signed_only: what {', '.join(unknown)} serves is not known; it must be a run")
            if not self.releases.trusted_keys:
                raise ValueError("signed_only: releases.trusted_keys is not set, so no signature would count")
        if self.bundle and self.policies:
            raise ValueError("set policies or bundle, not both")
        return self


def read_guard_settings(path: Path) -> GuardSettings:
    """Read and check guard.yaml; raises UsageError that names every fault."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist", cure="write it, or give --upstream; docs/guard/gateway.md has one")
    data = read_yaml(path.read_text(encoding="utf-8"), str(path))
    return checked(data, str(path))


def checked(data: object, source: str) -> GuardSettings:
    """Settings from parsed YAML; raises UsageError."""
    try:
        return GuardSettings.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise UsageError(f"{source}: " + "\n  ".join(faults), cure="see docs/guard/gateway.md") from error
