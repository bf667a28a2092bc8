"""Which scanners the guard runs at which points, and which of their rules a stream is matched with."""

from collections.abc import Callable

from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.output_plan import PackKinds
from backstay.records import Finding
from backstay.scan import Budget, View
from backstay.scan.secrets import SecretScanner, secret_pack


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
