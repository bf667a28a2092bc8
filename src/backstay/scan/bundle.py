"""All scanners over one text: one view, cheap ones first, each with a deadline, and nothing left out in silence.

A scanner that crashes, or for which no time was left, stands in the result as a finding of kind `not_scanned`.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from backstay.errors import ResourceError, UsageError
from backstay.records import Finding
from backstay.records.settings import Settings
from backstay.scan.code_danger import CodeDanger
from backstay.scan.exfiltration import ExfiltrationScanner
from backstay.scan.gibberish import GibberishScanner
from backstay.scan.identifiers import IdentifierScanner
from backstay.scan.injection import InjectionScanner
from backstay.scan.language import LanguageScanner, languages
from backstay.scan.scanner import NO_LIMIT, NOT_SCANNED, Budget, Point, Scanner
from backstay.scan.secrets import SecretScanner
from backstay.scan.shell_danger import ShellDanger
from backstay.scan.sql_danger import SqlDanger
from backstay.scan.topics import TopicScanner
from backstay.scan.view import View
from backstay.scan.whole_text import DegenerateScanner, HarmScanner, RefusalScanner

BUNDLE = "bundle"
_CODE = "```sql\nSELECT 1\n```\n```sh\nls\n```\n```python\n1\n```\n"
_NUMBERS = " ".join(
    ["2026-01-31T12:30:00Z 31.01.2026 1/2/26 3.14 v1.2.3 $9.99 50% 10x a1 b22 c333 key=value4 user@example.org #7"]
    + ["1234567890123456"[:length] for length in range(1, 17)]
    + [f"{letters}{digits}" for letters in ("a", "ab", "abc", "abcdef") for digits in ("1", "12", "123", "1234")]
)
"""Tokens as they are in most texts; a scanner compiles what it needs for a form of token when it first sees it."""
_ORDER = {"micro": 0, "milli": 1, "remote": 2}


class ScanSettings(Settings):
    """Which scanners run, where, and for how long."""

    scanners: tuple[str, ...] = (
        "secrets",
        "identifiers",
        "exfiltration",
        "user_injection",
        "data_injection",
        "sql_danger",
        "shell_danger",
        "code_danger",
    )
    """Names of the scanners; () for none."""

    points: dict[Point, tuple[str, ...]] = Field(default_factory=dict)
    """At these points only these of the scanners; a point that is not named has all that serve it."""

    patience: float = Field(default=20.0, ge=1)
    """How many times its own deadline a scanner may take by the clock: a busy machine is no property of the text."""

    deadline_ms: float = Field(default=2000.0, gt=0)
    """Milliseconds for all scanners of one text; what was not begun by then is not scanned."""

    max_characters: int = Field(default=1_000_000, gt=0)
    """A longer text is not scanned at all."""

    allowed_hosts: tuple[str, ...] = ()
    """Hosts that images may come from and links lead to (`.example.com` for all under it), for `exfiltration`."""

    sql_dialect: str | None = None
    """sqlglot's name of the dialect of SQL; None reads it as four."""

    languages: tuple[str, ...] = ("en",)
    """Languages that are allowed (ISO 639-1), for the scanner `language`."""

    topics: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Phrases by topic, for the scanner `topics`."""


SCANNERS: dict[str, Callable[[ScanSettings], Scanner]] = {
    "secrets": lambda _: SecretScanner(),
    "identifiers": lambda _: IdentifierScanner(),
    "exfiltration": lambda settings: ExfiltrationScanner(settings.allowed_hosts),
    "user_injection": lambda _: InjectionScanner("user", name="user_injection"),
    "data_injection": lambda _: InjectionScanner("data", name="data_injection"),
    "sql_danger": lambda settings: SqlDanger(dialect=settings.sql_dialect),
    "shell_danger": lambda _: ShellDanger(),
    "code_danger": lambda _: CodeDanger(),
    "topics": lambda settings: TopicScanner(settings.topics),
    "language": lambda settings: LanguageScanner(allowed=frozenset(settings.languages)),
    "gibberish": lambda _: GibberishScanner(),
    "degenerate": lambda _: DegenerateScanner(),
    "harm": lambda _: HarmScanner(),
    "refusal": lambda _: RefusalScanner(),
}
"""How each scanner that settings may name is made."""


@dataclass(frozen=True)
class Scanned:
    """What all scanners found in one text; `cost_us` is time by scanner, `view` for the view."""

    findings: tuple[Finding, ...]
    cost_us: Mapping[str, int] = field(compare=False)

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind, sorted by kind: what a policy's conditions see."""
        return dict(sorted(Counter(finding.kind for finding in self.findings).items()))

    @property
    def complete(self) -> bool:
        """Whether every scanner finished."""
        return all(finding.kind != NOT_SCANNED for finding in self.findings)


@dataclass(frozen=True)
class ScanBundle:
    """Scanners that are run together; safe to be called in several threads at once if its scanners are.

    `points` names, for some points, the scanners that run there; at others all that serve the point do.
    """

    scanners: Sequence[Scanner]
    points: Mapping[Point, Sequence[str]] = field(default_factory=dict)
    deadline_ms: float = 2000.0
    max_characters: int = 1_000_000
    patience: float = 1.0

    def __post_init__(self) -> None:
        names = [scanner.name for scanner in self.scanners]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise UsageError(f"scanners {twice} are named more than once", cure="give each its own name")
        unknown = sorted({name for chosen in self.points.values() for name in chosen} - set(names))
        if unknown:
            raise UsageError(f"points name the scanners {unknown}", cure=f"in the bundle are {sorted(names)}")

    def at(self, point: Point) -> tuple[Scanner, ...]:
        """The scanners of a point, the cheap ones first."""
        chosen = self.points.get(point)
        serving = [one for one in self.scanners if (point in one.points if chosen is None else one.name in chosen)]
        return tuple(sorted(serving, key=lambda one: (_ORDER[one.cost_class], one.deadline_ms)))

    def warm(self) -> None:
        """Load what the scanners need before the first text comes; raises ResourceError for what is missing."""
        for text in (_CODE, _NUMBERS, f"é {_NUMBERS}"):
            view = View.of(text)
            for scanner in self.scanners:
                scanner.scan(view, NO_LIMIT)

    def scan(self, text: str, point: Point) -> Scanned:
        """Findings of all scanners of the point, in the order of the scanners; never raises for what a text does."""
        scanners, cost = self.at(point), dict[str, int]()
        if not scanners:
            return Scanned((), cost)
        if len(text) > self.max_characters:
            return Scanned((_left_out(BUNDLE, f"more than {self.max_characters} characters"),), cost)
        end, begin = time.monotonic() + self.deadline_ms / 1000, time.perf_counter_ns()
        try:
            view = View.of(text)
        except Exception as error:  # noqa: BLE001 - whatever fails, the caller must learn that nothing was scanned
            return Scanned((_left_out(BUNDLE, type(error).__name__),), cost)
        cost["view"] = (time.perf_counter_ns() - begin) // 1000
        found: list[Finding] = []
        for scanner in scanners:
            begin = time.perf_counter_ns()
            found.extend(_run(scanner, view, end, self.patience))
            cost[scanner.name] = (time.perf_counter_ns() - begin) // 1000
        return Scanned(tuple(found), cost)


def _run(scanner: Scanner, view: View, end: float, patience: float) -> tuple[Finding, ...]:
    """A scanner's findings, or the one that says why there are none."""
    now = time.monotonic()
    if now >= end:
        return (_left_out(scanner.name, "no time was left"),)
    try:
        return scanner.scan(view, Budget(min(end, now + scanner.deadline_ms * patience / 1000)))
    except ResourceError:
        raise  # a library is missing: that is the operator's to know, and no property of the text
    except Exception as error:  # noqa: BLE001 - a crash is data here, and its message may quote the text
        return (_left_out(scanner.name, type(error).__name__),)


def _left_out(scanner: str, why: str) -> Finding:
    return Finding(scanner=scanner, kind=NOT_SCANNED, severity="high", evidence=why)


def bundle_of(settings: ScanSettings) -> ScanBundle:
    """The bundle that settings describe; raises UsageError for names that are not known."""
    unknown = sorted(set(settings.scanners) - set(SCANNERS))
    if unknown:
        raise UsageError(f"there are no scanners {unknown}", cure=f"known are {sorted(SCANNERS)}")
    strange = sorted(set(settings.languages) - set(languages()))
    if strange:
        raise UsageError(f"languages {strange} are not told apart", cure=f"known are {list(languages())}")
    scanners = [SCANNERS[name](settings) for name in settings.scanners]
    return ScanBundle(scanners, settings.points, settings.deadline_ms, settings.max_characters, settings.patience)
