"""Scanners that judge a text as a whole, by what `harm`, `refusal` and `degenerate` already know."""

from dataclasses import dataclass

from backstay.records import Finding
from backstay.scan.degenerate import scan_degenerate
from backstay.scan.harm import harm_probability
from backstay.scan.refusal import scan_refusal
from backstay.scan.scanner import NO_LIMIT, Budget, CostClass, Point
from backstay.scan.view import View

READ = 20_000
"""Characters that `degenerate` looks at; of a longer text the first ones, and a finding says so."""


@dataclass(frozen=True)
class HarmScanner:
    """Finds requests that the shipped English classifier takes for harmful; see docs/scan/classifiers.md."""

    threshold: float = 0.8
    deadline_ms: float = 50.0

    name: str = "harm"
    cost_class: CostClass = "milli"
    points: frozenset[Point] = frozenset({"request.input"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - it reads little
        """At most one finding, of kind `harmful_request`."""
        probability = harm_probability(view.text)
        if probability < self.threshold:
            return ()
        said = f"probability {probability:.2f}"
        return (Finding(scanner=self.name, kind="harmful_request", severity="medium", evidence=said),)


@dataclass(frozen=True)
class RefusalScanner:
    """Finds answers that refuse; English."""

    deadline_ms: float = 50.0

    name: str = "refusal"
    cost_class: CostClass = "milli"
    points: frozenset[Point] = frozenset({"response.final"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - it reads little
        """At most one finding: `refusal`, `refusal_then_compliance`, `probable_refusal`."""
        return scan_refusal(view.text[:READ])


@dataclass(frozen=True)
class DegenerateScanner:
    """Finds answers that are broken as text: empty, a loop, one character held down."""

    deadline_ms: float = 100.0

    name: str = "degenerate"
    cost_class: CostClass = "milli"
    points: frozenset[Point] = frozenset({"response.final", "feedback"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - it reads little
        """Findings of `scan_degenerate`, of the first 20,000 characters."""
        found = scan_degenerate(view.original[:READ])
        if len(view.original) > READ:
            said = f"only the first {READ} characters"
            found += (Finding(scanner=self.name, kind="partly_scanned", severity="info", evidence=said),)
        return found
