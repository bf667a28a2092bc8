"""Which scanners the guard runs at which points, and which of their rules a stream is matched with."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import cast

from backstay.errors import UsageError
from backstay.guard.output_plan import PackKinds
from backstay.policy import PolicyBundle
from backstay.records import Finding
from backstay.scan import Budget, Canary, CanaryScanner, LeakScanner, Point, ScanBundle, ScanSettings, View
from backstay.scan.bundle import bundle_of
from backstay.scan.canary import canary_rules
from backstay.scan.default_pack import default_pack
from backstay.scan.identifiers import identifier_kinds
from backstay.scan.kinds import kinds_of
from backstay.scan.rule_pack import RulePack
from backstay.scan.secrets import secret_kinds

LIKE_RESULTS = frozenset({"request.tools", "retrieval"})
"""Points whose texts come from outside as those of tools do."""
LEAK = "prompt_leak"
MAX_PROMPT = 200_000


def scan_bundle(settings: ScanSettings, canaries: tuple[Canary, ...] = ()) -> ScanBundle:
    """The scanners that settings name, and the one for canaries where there are any; ready for the first text."""
    bundle = bundle_of(settings)
    scanners = (*bundle.scanners, CanaryScanner(canaries)) if canaries else bundle.scanners
    bundle = replace(bundle, scanners=scanners)
    bundle.warm()
    return bundle


def text_scan(bundle: ScanBundle) -> Callable[[str, str], tuple[Finding, ...]]:
    """Scans a text for a point of the policy."""

    def scan(text: str, point: str) -> tuple[Finding, ...]:
        served = cast("Point", "tool.result" if point in LIKE_RESULTS else point)
        return bundle.scan(text, served).findings

    return scan


def stream_kinds(settings: ScanSettings, canaries: tuple[Canary, ...] = ()) -> PackKinds:
    """The rules that hold in a stream, and the scanner that each kind belongs to."""
    scanners: dict[str, str] = dict.fromkeys(secret_kinds(), "secrets")
    scanners |= dict.fromkeys(identifier_kinds(), "identifiers")
    latched: Mapping[str, str] = dict.fromkeys(("image_url", "reference_url", "html_resource"), "exfiltration")
    rules = [
        rule
        for rule in default_pack(allowed_hosts=settings.allowed_hosts).rules
        if scanners.get(rule.kind, latched.get(rule.kind, "")) in settings.scanners
    ]
    rules += canary_rules(canaries)
    named = scanners | dict(latched) | {rule.kind: "canary" for rule in canary_rules(canaries)}
    whole = frozenset(settings.scanners) - {"secrets", "identifiers"}
    return PackKinds(RulePack(rules), {rule.kind: named[rule.kind] for rule in rules}, whole)


def check_kinds(bundle: PolicyBundle, settings: ScanSettings) -> None:
    """Refuse a policy that names a kind which no scanner finds: the rule would never decide anything."""
    known = kinds_of(settings)
    for kind, rule in bundle.kinds_named().items():
        if kind not in known:
            near = difflib.get_close_matches(kind, sorted(known), n=1)
            hint = f"nearest known kind: {near[0]}" if near else "see docs/scan/scanners.md"
            raise UsageError(f"rule {rule} names the kind {kind!r}, which no scanner of scan.scanners finds", cure=hint)


@lru_cache(maxsize=256)
def _leaks(prompt: str) -> LeakScanner:
    return LeakScanner(prompt)


def leaked(prompt: str, text: str, limit_ms: float) -> tuple[Finding, ...]:
    """Whether an answer holds much of the system's prompt."""
    if not prompt or len(prompt) > MAX_PROMPT:
        return ()
    return _leaks(prompt).scan(View.of(text), Budget.of(limit_ms))
