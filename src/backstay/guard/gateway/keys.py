"""Virtual keys: who a client is and what it may ask for; only digests of the keys are stored."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from backstay.errors import UsageError
from backstay.guard.gateway.faults import ApiFault
from backstay.policy.points import glob_matches, is_glob
from backstay.policy.yaml_reading import read_yaml
from backstay.records import Settings
from backstay.storage import write_atomic

Endpoint = Literal["chat", "completions", "responses", "models", "mcp", "approvals"]
PREFIX = "bk-"


def _pattern(value: str) -> str:
    if not is_glob(value):
        raise ValueError(f"{value!r} is no pattern of model names")
    return value


class Budget(Settings):
    """Tokens of prompts and answers together, over a sliding window."""

    tokens: int = Field(ge=1)
    within_s: float = Field(default=86_400.0, gt=0, le=31_536_000)


class VirtualKey(Settings):
    """One client of the gateway."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}$")
    """The principal that policies and the audit name."""
    token: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """SHA-256 of the key; the key itself is random and shown once."""
    roles: tuple[str, ...] = Field(default=(), strict=False)
    attributes: dict[str, Any] = Field(default_factory=dict)
    owner: str = ""
    """The person behind it, who cannot approve what it asks for."""
    endpoints: tuple[Endpoint, ...] = Field(
        default=("chat", "completions", "responses", "models", "mcp", "approvals"), strict=False
    )
    models: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(default=("*",), strict=False)
    expires: AwareDatetime | None = None
    per_minute: int | None = Field(default=None, ge=1)
    """Requests a minute; none = no limit."""
    concurrent: int | None = Field(default=None, ge=1)
    """Requests at the same time; none = no limit."""
    budget: Budget | None = None
    sessions: bool = False
    """Whether counters of policies are kept for each session that the client names, instead of for the key."""


class KeyFile(Settings):
    """keys.yaml."""

    keys: tuple[VirtualKey, ...] = Field(strict=False)


@dataclass(frozen=True)
class Principal:
    """Who asks."""

    id: str
    roles: tuple[str, ...] = ()
    attributes: Mapping[str, Any] | None = None
    owner: str = ""
    key: VirtualKey | None = None

    def may_use(self, endpoint: Endpoint, model: str = "") -> bool:
        """Whether the key's scopes hold this endpoint, and this model where one is asked for."""
        if self.key is None:
            return True
        fits = not model or any(glob_matches(pattern, model) for pattern in self.key.models)
        return endpoint in self.key.endpoints and fits


LOCAL = Principal("local")
"""Whoever is on this machine, where no keys are set."""


class KeyRing:
    """The keys of a file by digest; reads it again when it changes, and keeps the last good one when it breaks."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self.problem = ""
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, VirtualKey] = {}
        self._load()

    def principal(self, authorization: str | None) -> Principal:
        """Who a request is from; raises ApiFault 401 for a key that is missing, unknown or expired."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise ApiFault(401, "unauthorized", "no key was sent; send Authorization: Bearer KEY")
        key = self._keys.get(digest_of(token.strip()))
        if key is None:
            raise ApiFault(401, "unauthorized", "the key is not known")
        if key.expires is not None and self._clock() >= key.expires.timestamp():
            raise ApiFault(401, "unauthorized", f"the key {key.id} expired at {key.expires.isoformat()}")
        return Principal(key.id, key.roles, key.attributes, key.owner, key)

    def refresh(self) -> bool:
        """Read the file again if it changed; a broken one is told in `problem` and changes nothing."""
        try:
            stat = self._path.stat()
            if self._stamp == (stat.st_mtime_ns, stat.st_size):
                return False
            self._load()
        except (OSError, UsageError) as error:
            self.problem = str(error)
            return False
        return True

    def _load(self) -> None:
        keys = read_keys(self._path)
        stat = self._path.stat()
        self._stamp = (stat.st_mtime_ns, stat.st_size)
        self._keys = {key.token.removeprefix("sha256:"): key for key in keys}
        self.problem = ""


def digest_of(token: str) -> str:
    """SHA-256 of a key: enough for one of 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(path: Path) -> tuple[VirtualKey, ...]:
    """The keys of a file; raises UsageError."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist", cure=f"backstay guard key add ID --keys {path}")
    try:
        keys = KeyFile.model_validate(read_yaml(path.read_text(encoding="utf-8"), str(path))).keys
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise UsageError(f"{path}: " + "\n  ".join(faults), cure="see docs/guard/keys.md") from error
    _refuse_twice(str(path), [key.id for key in keys])
    _refuse_twice(str(path), [key.token for key in keys])
    return keys


def add_key(path: Path, name: str, **facts: Any) -> str:
    """Put a new key into the file, which is made where it is missing; the token, which is not kept anywhere."""
    token = f"{PREFIX}{secrets.token_urlsafe(32)}"
    keys = read_keys(path) if path.exists() else ()
    _refuse_twice(str(path), [*(key.id for key in keys), name])
    try:
        key = VirtualKey(id=name, token=f"sha256:{digest_of(token)}", **facts)
    except ValidationError as error:
        raise UsageError(f"key {name!r}: {error.errors()[0]['msg']}", cure="see docs/guard/keys.md") from error
    _write(path, (*keys, key))
    return token


def remove_key(path: Path, name: str) -> None:
    """Take a key out of the file; raises UsageError for one that is not there."""
    keys = read_keys(path)
    if name not in [key.id for key in keys]:
        raise UsageError(f"{path} has no key {name!r}", cure="backstay guard key ls")
    _write(path, tuple(key for key in keys if key.id != name))


def _write(path: Path, keys: Iterable[VirtualKey]) -> None:
    rows = [key.model_dump(mode="json", exclude_defaults=True) for key in keys]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, yaml.safe_dump({"keys": rows}, sort_keys=False, allow_unicode=True).encode())
    path.chmod(0o600)


def _refuse_twice(source: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{source}: {name} stands there twice", cure="take one out")
