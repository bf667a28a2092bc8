"""Content scanners: pure functions from a text to findings."""

from backstay.scan.bundle import ScanBundle, Scanned, ScanSettings, bundle_of
from backstay.scan.canary import Canary, CanaryScanner, canary_of, canary_rules, with_canary
from backstay.scan.code_danger import CodeDanger, python_dangers
from backstay.scan.danger import Danger
from backstay.scan.default_pack import default_pack, pack_kinds
from backstay.scan.degenerate import scan_degenerate
from backstay.scan.exfiltration import ExfiltrationScanner
from backstay.scan.form import scan_form
from backstay.scan.gibberish import GibberishScanner
from backstay.scan.harm import harm_probability, scan_terms
from backstay.scan.identifiers import IdentifierScanner, identifier_kinds, identifier_pack, scan_identifiers
from backstay.scan.image_latch import latch_rules
from backstay.scan.injection import INJECTION_KINDS, InjectionScanner, scan_injection
from backstay.scan.json_schema import JsonSchemaScanner, read_schema
from backstay.scan.json_validation import Problem, Schema
from backstay.scan.language import LanguageScanner, language_of
from backstay.scan.linear_text import LinearText, parse_linear_text, read_linear_text, shipped
from backstay.scan.patterns import compile_phrase, compile_regex, first_match, plain_words
from backstay.scan.personal import PERSONAL_KINDS, luhn_holds, scan_personal
from backstay.scan.prompt_leak import LeakScanner
from backstay.scan.refusal import complies, refusal_probability, refuses, refuses_by_phrase, scan_refusal
from backstay.scan.scanner import NOT_SCANNED, Budget, CostClass, Evidence, Point, Scanner
from backstay.scan.secrets import SecretScanner, scan_secrets, secret_kinds
from backstay.scan.shell_danger import ShellDanger, shell_dangers
from backstay.scan.sql_danger import SqlDanger, sql_dangers
from backstay.scan.topics import TopicScanner
from backstay.scan.view import Part, View
from backstay.scan.whole_text import DegenerateScanner, HarmScanner, RefusalScanner

__all__ = [
    "INJECTION_KINDS",
    "NOT_SCANNED",
    "PERSONAL_KINDS",
    "Budget",
    "Canary",
    "CanaryScanner",
    "CodeDanger",
    "CostClass",
    "Danger",
    "DegenerateScanner",
    "Evidence",
    "ExfiltrationScanner",
    "GibberishScanner",
    "HarmScanner",
    "IdentifierScanner",
    "InjectionScanner",
    "JsonSchemaScanner",
    "LanguageScanner",
    "LeakScanner",
    "LinearText",
    "Part",
    "Point",
    "Problem",
    "RefusalScanner",
    "ScanBundle",
    "ScanSettings",
    "Scanned",
    "Scanner",
    "Schema",
    "SecretScanner",
    "ShellDanger",
    "SqlDanger",
    "TopicScanner",
    "View",
    "bundle_of",
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
    "language_of",
    "latch_rules",
    "luhn_holds",
    "pack_kinds",
    "parse_linear_text",
    "plain_words",
    "python_dangers",
    "read_linear_text",
    "read_schema",
    "refusal_probability",
    "refuses",
    "refuses_by_phrase",
    "scan_degenerate",
    "scan_form",
    "scan_identifiers",
    "scan_injection",
    "scan_personal",
    "scan_refusal",
    "scan_secrets",
    "scan_terms",
    "secret_kinds",
    "shell_dangers",
    "shipped",
    "sql_dangers",
    "with_canary",
]
