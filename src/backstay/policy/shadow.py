"""What rules in shadow mode said while the policy was live, counted from recorded decisions."""

from collections import Counter
from typing import Any

from backstay.policy.engine import enforced
from backstay.policy.recorded import RecordedDecision
from backstay.policy.request import ShadowResult
from backstay.policy.rules import Outcome
from backstay.policy.tally import MAX_NAMES, OTHERS, Tallies


class ShadowRecord:
    """Counts per rule, in bounded memory: how often it was asked, applied, erred, and what it alone had changed."""

    def __init__(self, keep: int = 5) -> None:
        self.decisions = self.malformed = 0
        self.asked: Counter[str] = Counter()
        self.applied: Counter[str] = Counter()
        self.erred = Tallies(keep)
        self.would: dict[Outcome, Tallies] = {"deny": Tallies(keep), "hold": Tallies(keep), "allow": Tallies(keep)}
        self.together: Counter[tuple[Outcome, Outcome]] = Counter()

    def add(self, row: RecordedDecision | None) -> None:
        """Count one decision, if any rule in shadow mode was asked; None is a row that cannot be read."""
        if row is None:
            self.malformed += 1
        if row is None or not row.shadow:
            return
        self.decisions += 1
        if row.shadow_effect is not None:
            self.together[row.effect, row.shadow_effect] += 1
        for written in row.shadow:
            result = ShadowResult(*written)
            rule = result.rule if result.rule in self.asked or len(self.asked) < MAX_NAMES else OTHERS
            self.asked[rule] += 1
            self.applied[rule] += result.applied
            if result.error:
                self.erred.add(rule, row.id)
            alone = enforced(row.effect, row.rules, [result])
            if alone != row.effect:
                self.would[alone].add(rule, row.id)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "decisions": self.decisions,
            "malformed": self.malformed,
            "together": [{"from": old, "to": new, "count": n} for (old, new), n in sorted(self.together.items())],
            "rules": {rule: self._rule(rule) for rule in sorted(self.asked)},
        }

    def _rule(self, rule: str) -> dict[str, Any]:
        would = {f"would_{effect}": tallies[rule].as_json() for effect, tallies in self.would.items()}
        counts = {"asked": self.asked[rule], "applied": self.applied[rule], "erred": self.erred[rule].count}
        return counts | would
