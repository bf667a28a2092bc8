"""Content scanners: pure functions from a text to findings."""

from backstay.scan.canary import Canary, CanaryScanner, canary_of, canary_rules, with_canary
from backstay.scan.default_pack import default_pack, pack_kinds
from backstay.scan.degenerate import scan_degenerate
from backstay.scan.exfiltration import ExfiltrationScanner
from backstay.scan.form import scan_form
from backstay.scan.harm import harm_probability, scan_terms
from backstay.scan.identifiers import IdentifierScanner, identifier_kinds, identifier_pack, scan_identifiers
from backstay.scan.image_latch import latch_rules
from backstay.scan.linear_text import LinearText, parse_linear_text, read_linear_text, shipped
from backstay.scan.patterns import compile_phrase, compile_regex, first_match, plain_words
from backstay.scan.personal import PERSONAL_KINDS, luhn_holds, scan_personal
from backstay.scan.prompt_leak import LeakScanner
from backstay.scan.refusal import complies, refusal_probability, refuses, refuses_by_phrase, scan_refusal
from backstay.scan.scanner import NOT_SCANNED, Budget, CostClass, Evidence, Point, Scanner
from backstay.scan.secrets import SecretScanner, scan_secrets, secret_kinds
from backstay.scan.view import Part, View

__all__ = [
    "NOT_SCANNED",
    "PERSONAL_KINDS",
    "Budget",
    "Canary",
    "CanaryScanner",
    "CostClass",
    "Evidence",
    "ExfiltrationScanner",
    "IdentifierScanner",
    "LeakScanner",
    "LinearText",
    "Part",
    "Point",
    "Scanner",
    "SecretScanner",
    "View",
    "canary_of",
    "canary_rules",
    "compile_phrase",
    "compile_regex",
    "complies",
    "default_pack",
    "first_match",
    "harm_probability",
    "identifier_kinds",
    "identifier_pack",
    "latch_rules",
    "luhn_holds",
    "pack_kinds",
    "parse_linear_text",
    "plain_words",
    "read_linear_text",
    "refusal_probability",
    "refuses",
    "refuses_by_phrase",
    "scan_degenerate",
    "scan_form",
    "scan_identifiers",
    "scan_personal",
    "scan_refusal",
    "scan_secrets",
    "scan_terms",
    "secret_kinds",
    "shipped",
    "with_canary",
]
