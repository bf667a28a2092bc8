"""Content scanners: pure functions from a text to findings."""

from backstay.scan.degenerate import scan_degenerate
from backstay.scan.harm import scan_terms
from backstay.scan.patterns import compile_phrase, compile_regex, first_match, plain_words
from backstay.scan.personal import PERSONAL_KINDS, luhn_holds, scan_personal
from backstay.scan.refusal import refuses, scan_refusal

__all__ = [
    "PERSONAL_KINDS",
    "compile_phrase",
    "compile_regex",
    "first_match",
    "luhn_holds",
    "plain_words",
    "refuses",
    "scan_degenerate",
    "scan_personal",
    "scan_refusal",
    "scan_terms",
]
