"""The kinds of findings by scanner, so that a policy that names one which nobody finds is told so."""

from collections.abc import Mapping

from backstay.scan.bundle import ScanSettings
from backstay.scan.exfiltration import KINDS as EXFILTRATION_KINDS
from backstay.scan.identifiers import identifier_kinds
from backstay.scan.injection import INJECTION_KINDS
from backstay.scan.secrets import secret_kinds


def _named(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{name}" for name in names.split(", "))


DANGERS: Mapping[str, tuple[str, ...]] = {
    "sql_danger": _named(
        "sql", "destructive, dynamic, file, hidden, privilege, stacked, tautology, time, unparsed, write"
    ),
    "shell_danger": _named(
        "shell", "credentials, destructive, download_run, obfuscated, persistence, privilege, reverse, unparsed"
    ),
    "code_danger": _named(
        "code",
        "credentials, deserialize, destructive, download_run, eval, obfuscated, persistence, reverse, shell, sql, "
        "unparsed, unverified, weak_hash",
    ),
}
WHOLE_TEXTS: Mapping[str, tuple[str, ...]] = {
    "harm": ("harmful_request",),
    "refusal": ("refusal", "refusal_then_compliance", "probable_refusal"),
    "gibberish": ("unlikely_words", "random_data"),
    "language": ("other_language", "unknown_language"),
    "degenerate": ("empty", "too_short", "repeated_character", "loop", "repetitive"),
}
OFFERS = ("tool_not_offered", "schema_violation", "offer")
"""What the gateway says of a call that is not as the request offered it."""
HOW_IT_WENT = ("not_scanned", "not_decoded", "partly_scanned", "hidden_text")
"""Kinds of any scanner that say how a scan went."""


def kinds_of(settings: ScanSettings) -> frozenset[str]:
    """Every name that findings can be counted under with these settings: kinds, and scanners for all of theirs."""
    by_scanner: dict[str, tuple[str, ...]] = {
        "secrets": secret_kinds(),
        "identifiers": identifier_kinds(),
        "exfiltration": EXFILTRATION_KINDS,
        "user_injection": (*INJECTION_KINDS, "injection"),
        "data_injection": (*INJECTION_KINDS, "injection"),
        "topics": tuple(settings.topics),
        **DANGERS,
        **WHOLE_TEXTS,
    }
    chosen = {name for scanner in settings.scanners for name in (scanner, *by_scanner.get(scanner, ()))}
    return frozenset((*chosen, *HOW_IT_WENT, "canary", "prompt_leak", *OFFERS))
