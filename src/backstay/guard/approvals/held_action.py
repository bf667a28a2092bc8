"""A tool call that policy holds, and the digest that binds an approval to exactly it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from backstay.guard.approvals.refusals import Refusal
from backstay.policy import Mask, Obligation
from backstay.records import canonical_json, sha256_hex

MAX_BYTES = 262_144
"""Of the canonical JSON. What is larger is refused: a person can neither be shown a part nor read all of it."""

MASKED = "$masked"
IDENTITY = ("principal", "owner", "session", "action", "tool", "resource")
_OBLIGATIONS: TypeAdapter[tuple[Obligation, ...]] = TypeAdapter(
    tuple[Annotated[Obligation, Field(discriminator="name")], ...]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAction:
    """What waits for approval. The first ten fields are hashed, the others say where it came from."""

    principal: str
    """Who asked: the authenticated name behind the virtual key."""

    owner: str
    """Who runs the agent that asked; the same as the principal where nobody else does."""

    session: str
    action: str
    tool: str
    tool_schema: str
    """SHA-256 of the tool's schema as the caller pinned it."""

    args: Mapping[str, Any]
    resource: str
    policy: str
    """SHA-256 of the policy that held it."""

    obligations: tuple[Obligation, ...]
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    exchange: str = ""
    key: str = ""
    """Asking twice under one key is asking once; empty for none."""

    def content(self) -> dict[str, Any]:
        """What is hashed and shown, as JSON data."""
        return {
            "principal": self.principal,
            "owner": self.owner,
            "session": self.session,
            "action": self.action,
            "tool": self.tool,
            "tool_schema": self.tool_schema,
            "args": dict(self.args),
            "resource": self.resource,
            "policy": self.policy,
            "obligations": [duty.model_dump(mode="json") for duty in self.obligations],
        }

    def masked(self, keyed_digest: Callable[[bytes], str]) -> "HeldAction":
        """With a keyed digest in place of each value that a `mask` obligation hides, from people and from the disk."""
        hidden = {name for duty in self.obligations if isinstance(duty, Mask) for name in duty.args}
        if hidden.isdisjoint(self.args):
            return self
        args = {
            name: {MASKED: keyed_digest(hashed_bytes(value))} if name in hidden else value
            for name, value in self.args.items()
        }
        return replace(self, args=args)


def hashed_bytes(value: Any) -> bytes:
    """RFC 8785 bytes; refuses what JSON cannot hold and what nobody could be shown."""
    try:
        data = canonical_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise Refusal("not_json", f"the call cannot be hashed: {error}") from error
    if len(data) > MAX_BYTES:
        raise Refusal("too_large", f"the call has {len(data)} bytes of JSON; at most {MAX_BYTES} can be approved")
    return data


def check_text(*texts: str) -> None:
    """Refuse text that cannot be stored: lone surrogates, or more than a person would read."""
    hashed_bytes(list(texts))


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the RFC 8785 bytes of what `HeldAction.content` gives."""
    return sha256_hex(hashed_bytes(dict(content)))


def read_obligations(data: Any) -> tuple[Obligation, ...]:
    """Obligations from their JSON form."""
    return _OBLIGATIONS.validate_python(data)


def other_duties(obligations: tuple[Obligation, ...]) -> list[dict[str, Any]]:
    """Every obligation but those that ask for approval, in a form that can be compared."""
    found = [duty.model_dump(mode="json") for duty in obligations if duty.name != "require_approval"]
    return sorted(found, key=canonical_json)
