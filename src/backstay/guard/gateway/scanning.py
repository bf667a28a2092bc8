"""Which scanners the guard runs at which points, and which of their rules a stream is matched with."""

from collections.abc import Callable

from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.output_plan import PackKinds
from backstay.policy.points import POINTS
from backstay.records import Finding
from backstay.scan import NOT_SCANNED, Budget, View
from backstay.scan.secrets import SecretScanner, secret_pack

WARM_UP = "Début: SELECT a FROM b WHERE c = 1; $(ls -l) print(d) https://example.org/?e=f password = g"
"""Neither ASCII nor of one kind, so that whatever a scanner loads when it first needs it is loaded."""


def scanner(settings: GuardSettings) -> Callable[[str, str], tuple[Finding, ...]]:
    """Scans a text for a point, within the time that the operator gives."""
    secrets = SecretScanner()

    def scan(text: str, point: str) -> tuple[Finding, ...]:
        return secrets.scan(View.of(text), Budget.of(settings.scan_ms))

    return scan


def stream_kinds() -> PackKinds:
    """The rules that hold in a stream, and the scanner that each kind belongs to."""
    pack = secret_pack()
    return PackKinds(pack, {rule.kind: "secrets" for rule in pack.rules})


def warm_up(scan: Callable[[str, str], tuple[Finding, ...]]) -> None:
    """Scan a text for every point once: what is loaded on first use is loaded before a client waits for it.

    A first scan may load for longer than a scan may take, so one that was not finished is done again.
    """
    for point in POINTS:
        for _ in range(3):
            if not any(finding.kind == NOT_SCANNED for finding in scan(WARM_UP, point)):
                break
