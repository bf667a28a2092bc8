"""Figures for Prometheus, in a registry of the gateway's own."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """What is counted; docs/guard/metrics.md lists it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "backstay_requests", "Exchanges that ended.", ("api", "status", "effect"), registry=self.registry
        )
        self.seconds = Histogram(
            "backstay_request_seconds",
            "Time of an exchange, model included.",
            ("api",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.decisions = Counter(
            "backstay_decisions", "Decisions of the policy.", ("point", "effect"), registry=self.registry
        )
        self.findings = Counter(
            "backstay_findings", "Findings of the scanners.", ("point", "kind"), registry=self.registry
        )
        self.tokens = Counter("backstay_tokens", "Tokens of prompts and answers.", ("api",), registry=self.registry)
        self.in_flight = Gauge("backstay_in_flight", "Exchanges that run now.", registry=self.registry)
        self.pending = Gauge("backstay_ledger_pending", "Journal rows that wait to be on disk.", registry=self.registry)
        self.policy = Gauge("backstay_policy_loaded", "1 for the policy in force.", ("hash",), registry=self.registry)
        self.broken = Gauge(
            "backstay_policy_broken",
            "1 while the policy on disk cannot be loaded and the last good one is in force.",
            registry=self.registry,
        )

    def decided(self, point: str, effect: str, findings: Mapping[str, int]) -> None:
        """Count a decision and what it was made on."""
        self.decisions.labels(point, effect).inc()
        for kind, count in findings.items():
            self.findings.labels(point, kind).inc(count)

    def ended(self, api: str, status: str, effect: str, seconds: float, tokens: int) -> None:
        """Count an exchange."""
        self.requests.labels(api, status, effect).inc()
        self.seconds.labels(api).observe(seconds)
        self.tokens.labels(api).inc(tokens)

    def observe(self, in_flight: int, pending: int, policy: str, *, broken: bool) -> None:
        """Set what is looked at and not counted."""
        self.in_flight.set(in_flight)
        self.pending.set(pending)
        self.policy.clear()
        self.policy.labels(policy).set(1)
        self.broken.set(int(broken))

    def text(self) -> str:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry).decode()
