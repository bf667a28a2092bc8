"""The logical policy of policy.py in Cedar, measured with `cedarpy`; run by policy.py in the peer's own environment.

python policy_peer.py '[5, 200]' REQUESTS INDEXED(1|0)
"""

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import cedarpy

HEAD = '(principal, action == Action::"call", resource == Tool::"{}") when {{ {} }};'


def written(rules: int, *, indexed: bool) -> str:
    """The policy as text."""
    lines = [
        "permit" + HEAD.format("send_mail", 'context.roles.contains("support")'),
        "forbid" + HEAD.format("send_mail", 'context.origins.contains("tool")'),
    ]
    for i in range(rules - 2):
        amount = f'context.roles.contains("r{i}") && context.amount > {i} && context.to == "x{i}"'
        rest = ' && context.secrets > 0 && !context.origins.contains("user")'
        lines.append("forbid" + HEAD.format(f"tool_{i}" if indexed else "send_mail", amount + rest))
    return "\n".join(lines)


def fresh_request(i: int) -> dict[str, Any]:
    """A request that no earlier one shares."""
    context = {
        "roles": ["support", f"role{i}"],
        "amount": i,
        "to": f"a{i}@example.org",
        "body": f"{i}" + "x" * 400,
        "secrets": 0,
        "origins": ["user"],
    }
    return {
        "principal": f'User::"u{i}"',
        "action": 'Action::"call"',
        "resource": 'Tool::"send_mail"',
        "context": context,
    }


def measure(rules: int, requests: int, *, indexed: bool) -> dict[str, float]:
    """CPU time of one decision with policies and entities parsed once."""
    policies = cedarpy.PolicySet.from_str(written(rules, indexed=indexed))
    entities = cedarpy.Entities.from_json_str("[]")
    times = []
    for i in range(requests):
        request = fresh_request(i)
        started = time.thread_time_ns()
        answer = cedarpy.is_authorized(request, policies, entities)
        times.append(time.thread_time_ns() - started)
        assert answer.allowed  # noqa: S101  a measurement of nothing else
    times = sorted(times[len(times) // 10 :])
    return {"p50_us": times[len(times) // 2] / 1000, "p99_us": times[len(times) * 99 // 100] / 1000}


if __name__ == "__main__":
    sizes, requests, indexed = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"
    found = {str(size): measure(size, requests, indexed=indexed) for size in sizes}
    print(json.dumps({"version": version("cedarpy"), "rules": found}))
