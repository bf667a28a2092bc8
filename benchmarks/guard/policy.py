"""CPU time of one policy decision, with fresh requests, beside Cedar when an environment holds `cedarpy`.

    python benchmarks/guard/policy.py [--peer-python PATH]

The logical policy is the same at both sizes: one permit, one forbid on tainted destinations, and fillers of five
conjuncts on other tools; `unindexed` puts every filler on the tool that is asked for. Prints one JSON line.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (5, 200)
REQUESTS = 4000
WARM_UP = 200

PEER = Path(__file__).with_name("policy_peer.py")


def policy_text(rules: int, *, indexed: bool) -> str:
    """A policy of so many rules; fillers are about other tools, or all about the one that is asked for."""
    lines = [
        "policy: 1",
        "rules:",
        "- {id: permit, effect: permit, match: {point: model.tool_call, tool: send_mail}, reason: r,",
        "   when: '\"support\" in principal.roles'}",
        "- {id: taint, effect: forbid, match: {point: model.tool_call, tool: send_mail}, reason: r,",
        "   when: '\"tool\" in provenance.to'}",
    ]
    for i in range(rules - 2):
        tool = f"tool_{i}" if indexed else "send_mail"
        lines += [
            f"- {{id: filler-{i}, effect: forbid, match: {{point: model.tool_call, tool: {tool}}}, reason: r,",
            f'   when: \'"r{i}" in principal.roles && args.amount > {i}.0 && args.to == "x{i}"',
            '     && findings.secret > 0 && !("user" in provenance.to)\'}',
        ]
    return "\n".join(lines)


def fresh_request(i: int) -> dict[str, Any]:
    """The fields of a request that no earlier one shares."""
    return {
        "point": "model.tool_call",
        "action": "call",
        "tool": "send_mail",
        "principal": f"u{i}",
        "roles": ["support", f"role{i}"],
        "args": {"amount": float(i), "to": f"a{i}@example.org", "body": f"{i}" + "x" * 400},
        "findings": {"secret": 0},
        "provenance": {"to": ["user"], "amount": ["user"], "body": ["model"]},
    }


def percentiles_us(decide: Callable[[Any], Any], make: Callable[[int], Any]) -> dict[str, float]:
    """CPU time of one call, in microseconds, without building the request."""
    times = []
    for i in range(REQUESTS):
        request = make(i)
        started = time.thread_time_ns()
        decide(request)
        times.append(time.thread_time_ns() - started)
    times = sorted(times[WARM_UP:])
    return {"p50_us": times[len(times) // 2] / 1000, "p99_us": times[len(times) * 99 // 100] / 1000}


def measure(rules: int, *, indexed: bool) -> dict[str, float]:
    """Load a policy and decide."""
    from backstay.policy import PolicyBundle, Request, parse_policy  # noqa: PLC0415  the peer's run needs none of it

    started = time.thread_time_ns()
    bundle = PolicyBundle.compile([("bench", parse_policy(policy_text(rules, indexed=indexed), "bench"))])
    load_ms = (time.thread_time_ns() - started) / 1e6
    assert bundle.decide(Request(**fresh_request(0))).effect == "allow"  # noqa: S101  a measurement of nothing else
    return {**percentiles_us(bundle.decide, lambda i: Request(**fresh_request(i))), "load_ms": load_ms}


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, help="a Python whose environment holds cedarpy")
    peer_python = parser.parse_args().peer_python
    row: dict[str, Any] = {"benchmark": "guard.policy", "requests": REQUESTS}
    row["rules"] = {str(n): measure(n, indexed=True) for n in SIZES}
    row["unindexed"] = {str(n): measure(n, indexed=False) for n in SIZES}
    for place in ("rules", "unindexed") if peer_python else ():
        arguments = [str(peer_python), str(PEER), json.dumps(SIZES), "1200", "1" if place == "rules" else "0"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
        found = json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip()[-300:]}
        row.setdefault("cedarpy", {})[place] = found
    json.dump(row, sys.stdout)
    print()


if __name__ == "__main__":
    main()
