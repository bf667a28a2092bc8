"""Policies and requests that several test files ask about."""

import json
from typing import Any

from backstay.policy import PolicyBundle, PolicyFile, Request


def rule(rule_id: str, effect: str = "forbid", when: str | None = None, **more: Any) -> dict[str, Any]:
    """One rule about calls of the tool `pay`, as it would stand in a file."""
    match = {"point": more.pop("point", "model.tool_call"), "tool": more.pop("tool", "pay")}
    written: dict[str, Any] = {
        "id": rule_id,
        "effect": effect,
        "match": match,
        "reason": f"because of {rule_id}",
        **more,
    }
    if when is not None:
        written["when"] = when
    if effect == "hold" and "obligations" not in more:
        written["obligations"] = [{"require_approval": {"k": 1, "of": ["lead"], "expires_s": 60}}]
    return written


def as_yaml(rules: list[dict[str, Any]], **head: Any) -> str:
    """A policy file; JSON is YAML too."""
    return json.dumps({"policy": 1, **head, "rules": rules})


def bundle(rules: list[dict[str, Any]], **head: Any) -> PolicyBundle:
    """A compiled policy."""
    files = [("test.yaml", PolicyFile.model_validate({"policy": 1, **head, "rules": rules}))]
    return PolicyBundle.compile(files)


def call(tool: str = "pay", **more: Any) -> Request:
    """A tool call; scans ran and found nothing, every argument came from the user."""
    args = more.pop("args", {"amount": 10})
    provenance = more.pop("provenance", {name: ["user"] for name in args if isinstance(name, str)})
    return Request(
        point=more.pop("point", "model.tool_call"),
        action="call",
        tool=tool,
        args=args,
        provenance=provenance,
        findings=more.pop("findings", {}),
        **more,
    )
