"""Content scanners: pure functions from a text to findings."""

from backstay.scan.degenerate import scan_degenerate
from backstay.scan.form import scan_form
from backstay.scan.harm import harm_probability, scan_terms
from backstay.scan.linear_text import LinearText, parse_linear_text, read_linear_text, shipped
from backstay.scan.patterns import compile_phrase, compile_regex, first_match, plain_words
from backstay.scan.personal import PERSONAL_KINDS, luhn_holds, scan_personal
from backstay.scan.refusal import complies, refusal_probability, refuses, refuses_by_phrase, scan_refusal

__all__ = [
    "PERSONAL_KINDS",
    "LinearText",
    "compile_phrase",
    "compile_regex",
    "complies",
    "first_match",
    "harm_probability",
    "luhn_holds",
    "parse_linear_text",
    "plain_words",
    "read_linear_text",
    "refusal_probability",
    "refuses",
    "refuses_by_phrase",
    "scan_degenerate",
    "scan_form",
    "scan_personal",
    "scan_refusal",
    "scan_terms",
    "shipped",
]
