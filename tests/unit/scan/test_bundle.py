import threading
import time
from dataclasses import dataclass, field

import pytest
from hostile_texts import prose

from backstay.errors import ResourceError, UsageError
from backstay.records import Finding
from backstay.scan import NOT_SCANNED, Budget, CostClass, Point, View
from backstay.scan.bundle import SCANNERS, ScanBundle, ScanSettings, bundle_of

OUTPUT: Point = "model.output"


@dataclass(frozen=True)
class Probe:
    """A scanner that notes when it ran, and does what it is told."""

    name: str
    ran: list[str]
    cost_class: CostClass = "micro"
    deadline_ms: float = 10.0
    error: Exception | None = None
    busy_ms: float = 0.0
    points: frozenset[Point] = frozenset({"model.output"})
    max_match_length: int | None = None
    budgets: list[Budget] = field(default_factory=list)

    def scan(self, view: View, budget: Budget) -> tuple[Finding, ...]:
        self.ran.append(self.name)
        self.budgets.append(budget)
        end = time.monotonic() + self.busy_ms / 1000
        while time.monotonic() < end:
            pass
        if self.error is not None:
            raise self.error
        return (Finding(scanner=self.name, kind="seen", severity="info", span=(0, len(view.original))),)


def test_cheap_scanners_run_first_and_only_those_of_the_point() -> None:
    ran: list[str] = []
    elsewhere = Probe("elsewhere", ran, points=frozenset({"tool.result"}))
    bundle = ScanBundle(
        [
            Probe("model", ran, "remote"),
            Probe("slow", ran, "milli", 50),
            Probe("quick", ran, "milli", 5),
            Probe("first", ran),
            elsewhere,
        ]
    )
    scanned = bundle.scan("text", OUTPUT)
    assert ran == ["first", "quick", "slow", "model"] and scanned.counts == {"seen": 4} and scanned.complete
    assert list(scanned.cost_us) == ["view", "first", "quick", "slow", "model"]


@pytest.mark.parametrize("error", [ValueError("secret text"), RecursionError(), MemoryError(), KeyError("secret text")])
def test_a_crash_is_a_finding_that_quotes_nothing_and_the_others_still_run(error: Exception) -> None:
    ran: list[str] = []
    scanned = ScanBundle([Probe("bad", ran, error=error), Probe("good", ran)]).scan("text", OUTPUT)
    left = [finding for finding in scanned.findings if finding.kind == NOT_SCANNED]
    assert [(one.scanner, one.severity, one.evidence) for one in left] == [("bad", "high", type(error).__name__)]
    assert ran == ["bad", "good"] and scanned.counts == {NOT_SCANNED: 1, "seen": 1} and not scanned.complete


def test_what_no_time_was_left_for_is_named() -> None:
    ran: list[str] = []
    bundle = ScanBundle([Probe("eats", ran, busy_ms=15), Probe("late", ran, "milli")], deadline_ms=10)
    scanned = bundle.scan("text", OUTPUT)
    assert ran == ["eats"] and [(one.scanner, one.kind) for one in scanned.findings] == [
        ("eats", "seen"),
        ("late", NOT_SCANNED),
    ]


def test_a_budget_ends_with_the_scanner_or_with_the_bundle() -> None:
    ran: list[str] = []
    short, long = Probe("short", ran, deadline_ms=5), Probe("long", ran, deadline_ms=5000)
    begin = time.monotonic()
    ScanBundle([short, long], deadline_ms=100).scan("text", OUTPUT)
    ends = [probe.budgets[0].deadline or 0.0 for probe in (short, long)]
    assert begin < ends[0] < begin + 0.1 and ends[1] <= begin + 0.2


def test_a_missing_library_is_no_property_of_a_text() -> None:
    with pytest.raises(ResourceError):
        ScanBundle([Probe("bare", [], error=ResourceError("no library"))]).scan("text", OUTPUT)


def test_a_text_that_is_too_long_is_not_scanned_and_says_so() -> None:
    ran: list[str] = []
    scanned = ScanBundle([Probe("one", ran)], max_characters=10).scan("a" * 11, OUTPUT)
    assert ran == [] and [(one.scanner, one.kind) for one in scanned.findings] == [("bundle", NOT_SCANNED)]


def test_settings_choose_scanners_by_point() -> None:
    bundle = bundle_of(ScanSettings(points={"response.final": ("secrets",), "tool.result": ("shell_danger",)}))
    assert [one.name for one in bundle.at("response.final")] == ["secrets"]
    assert [one.name for one in bundle.at("tool.result")] == ["shell_danger"]
    assert {one.name for one in bundle.at("model.tool_call")} == {
        "secrets",
        "identifiers",
        "exfiltration",
        "sql_danger",
        "shell_danger",
        "code_danger",
    }
    assert bundle_of(ScanSettings(scanners=())).scan("rm -rf /", OUTPUT).findings == ()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="sekrets"):
        bundle_of(ScanSettings(scanners=("sekrets",)))
    with pytest.raises(UsageError, match="secrets"):
        bundle_of(ScanSettings(scanners=("sql_danger",), points={"tool.result": ("secrets",)}))
    with pytest.raises(UsageError, match="xx"):
        bundle_of(ScanSettings(languages=("xx",)))
    with pytest.raises(UsageError, match="more than once"):
        ScanBundle([Probe("a", []), Probe("a", [])])
    with pytest.raises(UsageError, match="phrase"):
        bundle_of(ScanSettings(scanners=("topics",)))


def everything() -> ScanBundle:
    return bundle_of(ScanSettings(scanners=tuple(SCANNERS), topics={"bets": ("sports betting",)}, deadline_ms=60_000))


def test_every_scanner_keeps_to_the_interface() -> None:
    bundle = everything()
    bundle.warm()
    text = "I'd say: `rm -rf ~`, sports betting.\n```sql\nDROP TABLE users;\n```\n```python\nexec(data)\n```\n"
    points: tuple[Point, ...] = (
        "request.input",
        "model.output",
        "model.tool_call",
        "tool.result",
        "response.final",
        "feedback",
    )
    for point in points:
        scanned = bundle.scan(text, point)
        names = {scanner.name for scanner in bundle.at(point)}
        assert scanned.complete and {finding.scanner for finding in scanned.findings} <= names
        assert set(scanned.cost_us) == {"view", *names}
    counts = bundle.scan(text, "response.final").counts
    assert {"shell_destructive", "sql_destructive", "code_eval", "bets"} <= set(counts)


def test_threads_see_what_one_sees() -> None:
    import random

    bundle, rng = everything(), random.Random(3)
    texts = [prose(rng, 300) + rng.choice(["`rm -rf ~`", "", "\nDROP TABLE t;\n", "é"]) for _ in range(12)]
    alone = [bundle.scan(text, "response.final").findings for text in texts]
    together: dict[int, tuple[Finding, ...]] = {}

    def work(number: int) -> None:
        together[number] = bundle.scan(texts[number], "response.final").findings

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(12)] == alone


def test_prose_costs_the_parsers_nothing() -> None:
    import random

    bundle, rng = bundle_of(ScanSettings()), random.Random(1)
    bundle.warm()
    costs = [bundle.scan(prose(rng, 2000), "response.final").cost_us for _ in range(30)]
    parsers = sorted(sum(cost[name] for name in ("sql_danger", "shell_danger", "code_danger")) for cost in costs)
    assert parsers[len(parsers) // 2] < 1000
