"""Content scanners: pure functions from a text to findings."""

from backstay.scan.degenerate import scan_degenerate
from backstay.scan.form import scan_form
from backstay.scan.harm import harm_probability, scan_terms
from backstay.scan.injection import INJECTION_KINDS, InjectionScanner, scan_injection
from backstay.scan.linear_text import LinearText, parse_linear_text, read_linear_text, shipped
from backstay.scan.patterns import compile_phrase, compile_regex, first_match, plain_words
from backstay.scan.personal import PERSONAL_KINDS, luhn_holds, scan_personal
from backstay.scan.refusal import complies, refusal_probability, refuses, refuses_by_phrase, scan_refusal
from backstay.scan.scanner import NOT_SCANNED, Budget, CostClass, Evidence, Point, Scanner
from backstay.scan.secrets import SecretScanner, scan_secrets, secret_kinds
from backstay.scan.view import Part, View

__all__ = [
    "INJECTION_KINDS",
    "NOT_SCANNED",
    "PERSONAL_KINDS",
    "Budget",
    "CostClass",
    "Evidence",
    "InjectionScanner",
    "LinearText",
    "Part",
    "Point",
    "Scanner",
    "SecretScanner",
    "View",
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
    "scan_injection",
    "scan_personal",
    "scan_refusal",
    "scan_secrets",
    "scan_terms",
    "secret_kinds",
    "shipped",
]
