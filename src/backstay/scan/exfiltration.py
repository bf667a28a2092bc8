"""URLs that carry data out, load by themselves or hide where they lead, and control codes of terminals."""

import base64
import binascii
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from backstay.records import Finding
from backstay.scan.checks import entropy_bits
from backstay.scan.engine import compile_re2
from backstay.scan.image_latch import LATCH_KINDS, latch_rules
from backstay.scan.rule import Severity
from backstay.scan.rule_pack import RulePack
from backstay.scan.scanner import NO_LIMIT, NOT_SCANNED, Budget, CostClass, Point
from backstay.scan.targets import AllowedHosts, host_of
from backstay.scan.view import View

SCANNER = "exfiltration"
MAX_URLS = 400
"""URLs of one text that are taken apart; more are told by a finding of kind `not_scanned`."""
MAX_URL = 2000
"""Characters of a URL that are taken apart; a longer one counts as carrying data."""
MAX_VALUES = 40
MIN_QUOTED = 12
"""Letters and digits from which on a part of a URL that stands in the conversation counts as carried out."""
RANDOM_LENGTH, RANDOM_BITS = 32, 3.6
LONG_QUERY = 300
_DIGESTS = (32, 40, 64)

_URL = rb"(?i)(?:https?|ftp|wss?)://[^\s<>\"'`\\{}|^\[\]]+|(?:https?|ftp|wss?)://\[[0-9a-f:.]{2,45}\][^\s<>\"'`]*"
_DATA_URL = rb"(?i)\bdata:(?:text|application|image/svg)[a-z0-9.+/-]{0,60}[;,][^\s<>\"')]*"
_NUMERIC_HOST = rb"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}"
_TERMINAL = rb"\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b(?:\[[0-9;?]{0,40}[A-Za-z]?|[\]P^_X][^\x07\x1b]*|.)?"
_SAYS: dict[str, tuple[Severity, str]] = {
    "url_data": ("high", "a part of the URL is encoded or random"),
    "url_context": ("high", "a part of the URL stands in the conversation"),
    "ip_host": ("medium", "the host is a number"),
    "punycode_host": ("medium", "the host has characters that look like others"),
    "credentials_in_url": ("medium", "a login stands before the host"),
    "data_url": ("medium", "a page or a program inside of a URL"),
    "terminal_link": ("high", "a link that shows another text"),
    "ansi_escape": ("medium", "a control code of terminals"),
    NOT_SCANNED: ("high", "too many URLs"),
}
KINDS = (*LATCH_KINDS, *_SAYS)


def squeezed(text: str) -> str:
    """Letters and digits of a text, in lower case."""
    return "".join(filter(str.isalnum, text)).lower()


@dataclass(frozen=True)
class ExfiltrationScanner:
    """Finds ways out in a text.

    Zero clicks (`image_url`, `reference_url`, `html_resource`): a client loads them by itself; found wherever they lead
    to a host that is not allowed. One click: a URL to such a host is a finding where it carries data or hides where it
    leads. `context` is what must not be carried out: prompts, tool results, files.
    """

    allowed_hosts: tuple[str, ...] = ()
    context: tuple[str, ...] = field(default=(), repr=False)
    deadline_ms: float = 50.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"model.output", "model.tool_call", "response.final"})
    max_match_length: int | None = None

    @cached_property
    def _allowed(self) -> AllowedHosts:
        return AllowedHosts.of(self.allowed_hosts)

    @cached_property
    def _pack(self) -> RulePack:
        return RulePack(latch_rules(self.allowed_hosts))

    @cached_property
    def _held(self) -> str:
        return "\n".join(squeezed(text) for text in self.context)

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """Findings in order of place; kinds `image_url`, `reference_url`, `html_resource` and those of `KINDS`."""
        matches = self._pack.matches(view.matched, budget.deadline, view.altered)
        found = [self._finding(view, m.start, m.end, m.rule.kind, (m.severity, "loads by itself")) for m in matches]
        found += [self._finding(view, *place, _SAYS[place[2]]) for place in self._places(view, budget)]
        if budget.spent:
            found.append(Finding(scanner=self.name, kind=NOT_SCANNED, severity="high", evidence="the deadline passed"))
        return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.span or (len(view.original), 0)))

    def _finding(self, view: View, start: int, end: int, kind: str, said: tuple[Severity, str]) -> Finding:
        evidence = f"{said[1]}: {end - start} characters"
        return Finding(scanner=self.name, kind=kind, severity=said[0], span=view.span(start, end), evidence=evidence)

    def _places(self, view: View, budget: Budget) -> Iterator[tuple[int, int, str]]:
        for match in compile_re2(_DATA_URL).finditer(view.matched):
            yield match.start(), match.end(), "data_url"
        for match in compile_re2(_TERMINAL).finditer(view.matched):
            linked = match.group().startswith(b"\x1b]8;")
            yield match.start(), match.end(), "terminal_link" if linked else "ansi_escape"
        urls = compile_re2(_URL).finditer(view.matched)
        for number, match in enumerate(urls):
            if budget.spent:
                return
            if number >= MAX_URLS:
                yield match.start(), len(view.matched), NOT_SCANNED
                return
            for kind in self._url_kinds(view, match.start(), match.end()):
                yield match.start(), match.end(), kind

    def _url_kinds(self, view: View, start: int, end: int) -> Iterator[str]:
        url = view.matched[start : min(end, start + MAX_URL)].decode().rstrip(".,;:!?)")
        host = host_of(url)
        altered = view.altered(start, end)
        if self._allowed.allow(host) and not altered:
            return
        authority = url.partition("://")[2].replace("\\", "/").partition("/")[0].partition("?")[0].partition("#")[0]
        name = authority.rpartition("@")[2].lower()
        if "@" in authority:
            yield "credentials_in_url"
        if "xn--" in name or altered:
            yield "punycode_host"
        if name.startswith("[") or compile_re2(_NUMERIC_HOST).fullmatch(name.partition(":")[0].encode()):
            yield "ip_host"
        values = list(islice(_values(url, name), MAX_VALUES))
        query = url.partition("?")[2]
        if end - start > MAX_URL or len(query) > LONG_QUERY or any(map(carries_data, values)):
            yield "url_data"
        if self._held and any(self._is_quoted(value) for value in values):
            yield "url_context"

    def _is_quoted(self, value: str) -> bool:
        """Whether a part of a URL, as it is or decoded, stands in the context."""
        return any(
            len(piece) >= MIN_QUOTED and piece in self._held for piece in map(squeezed, (value, *_decoded(value)))
        )


def _values(url: str, name: str) -> Iterator[str]:
    """Parts of a URL that may carry something: labels of the host, parts of the path, values, the fragment."""
    labels = name.partition(":")[0].split(".")
    yield from labels[:-2]
    yield "".join(labels[:-2])
    rest = url.partition("://")[2].partition("/")[2]
    path, _, behind = rest.partition("?")
    query, _, fragment = behind.partition("#")
    for part in (*path.split("/"), *query.replace(";", "&").split("&"), fragment or path.partition("#")[2]):
        _, _, value = part.partition("=")
        said = urllib.parse.unquote_plus(value if value.strip("=") else part)
        if said:
            yield said


def carries_data(value: str) -> bool:
    """Whether a part of a URL is encoded text, or long and without order; hexadecimal digests are common and pass."""
    if any(len(text) >= 8 for text in _decoded(value)):
        return True
    raw = value.encode("ascii", "replace")
    if len(raw) in _DIGESTS and not raw.lower().strip(b"0123456789abcdef"):
        return False
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and "-" not in value.strip("-")
    return len(value) >= RANDOM_LENGTH and mixed and entropy_bits(raw) >= RANDOM_BITS


def _decoded(value: str) -> Iterator[str]:
    """The printable texts that a value is base64 or hexadecimal of."""
    if len(value) < 12:
        return
    for undo in (_unhex, _unbase64):
        text = undo(value)
        if text is not None:
            yield text


def _printable(raw: bytes) -> str | None:
    text = raw.decode("utf-8", "replace")
    letters = sum(char.isalnum() or char in " .,:;@-_=/+\n" for char in text)
    return text if raw and letters >= 0.95 * len(text) and "\ufffd" not in text else None


def _unhex(value: str) -> str | None:
    try:
        return _printable(bytes.fromhex(value))
    except ValueError:
        return None


def _unbase64(value: str) -> str | None:
    plain = value.rstrip("=").replace("-", "+").replace("_", "/").replace(" ", "+")
    try:
        return _printable(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None
