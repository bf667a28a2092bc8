"""Scans of texts that come again: clients send the whole conversation with each turn."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from backstay.records import Finding

MAX_REMEMBERED = 20_000
MAX_FINDINGS = 100
"""Findings of a text that is remembered: one with more is scanned anew, so that memory stays bounded."""


class RememberedScans:
    """Findings by the text's digest and point, the last 20,000 texts; what was not scanned whole is not remembered."""

    def __init__(self, scan: Callable[[str, str], tuple[Finding, ...]], most: int = MAX_REMEMBERED) -> None:
        self._scan, self._most = scan, most
        self._known: OrderedDict[tuple[bytes, str], tuple[Finding, ...]] = OrderedDict()

    def findings(self, text: str, point: str) -> tuple[Finding, ...]:
        """Everything that the scanners for this point find in the text."""
        if not text:
            return ()
        key = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), point)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        found = self._scan(text, point)
        if len(found) <= MAX_FINDINGS and not any(finding.kind == "not_scanned" for finding in found):
            self._known[key] = found
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return found
