"""A candidate policy over recorded traffic: what it would decide otherwise, by which rule, and what cannot be known."""

from collections import Counter
from typing import Any, NamedTuple

from pydantic import ValidationError

from backstay.policy.engine import PolicyBundle
from backstay.policy.obligations import Route
from backstay.policy.partial import Partial, PartialDecider
from backstay.policy.recorded import RecordedDecision, holds_whole_numbers, request_of_row
from backstay.policy.rules import Outcome, PolicyFile
from backstay.policy.tally import Tallies, Tally

DEFAULT = "(default)"
_NEVER: dict[bool, bool | None] = {False: False, True: False}
_ERRS: dict[str | None, dict[bool, bool | None]] = {
    "yes": {False: False, True: False},
    "nan": {False: False, True: True},
    "no": {False: True, True: True},
    None: {False: None, True: None},
}


_ESCAPED = Partial(frozenset({"allow", "hold", "deny"}), (), ("the row holds values that JSON cannot hold",), None)


class Change(NamedTuple):
    """Decisions that go from one effect to another."""

    total: Tally
    now: Tallies
    """By the rules that decide now."""
    was: Tallies
    """By the rules that decided before."""


class Replay:
    """Decides rows again, one after the other, in memory that does not grow with them.

    `before` is what was recorded, or what the policy `against` decides on the same row. `enforces` is the policy as it
    was written where the candidate is `enforcing` it. `assume_readable` takes rows without contents that do not say
    whether conditions could read them as readable.
    """

    def __init__(
        self,
        candidate: PolicyBundle,
        against: PolicyBundle | None = None,
        *,
        enforces: PolicyBundle | None = None,
        assume_readable: bool = False,
        keep: int = 5,
    ) -> None:
        self._deciders = [PartialDecider(bundle) for bundle in (candidate, against) if bundle is not None]
        given = [bundle for bundle in (candidate, against, enforces) if bundle is not None]
        self._declared = {bundle.hash: bundle.counters for bundle in given}
        self._enforces = None if enforces is None or _routes(candidate) > 1 else enforces.hash
        self._assume, self._keep = assume_readable, keep
        self.decisions = self.same = self.unknown = self.assumed = 0
        self.before: Counter[Outcome] = Counter()
        self.after: Counter[Outcome] = Counter()
        self.changes: dict[tuple[Outcome, Outcome], Change] = {}
        self.reasons, self.malformed = Tallies(keep), Tallies(keep)
        self.errors, self.duties = Tallies(keep), Tallies(keep)
        self.not_reproduced = Tally()

    @property
    def changed(self) -> int:
        """How many effects change."""
        return sum(change.total.count for change in self.changes.values())

    def add(self, payload: str, name: str) -> RecordedDecision | None:
        """Decide one recorded row again; `name` stands for a row that cannot be read. None when it is malformed."""
        self.decisions += 1
        try:
            row = RecordedDecision.model_validate_json(payload)
            found = self._decided(row)
        except (ValueError, OverflowError, RecursionError) as error:
            self.malformed.add(_fault(error), name)
            return None
        self._compare(row, *found)
        return row

    def _decided(self, row: RecordedDecision) -> list[Partial]:
        """What each policy decides, the candidate first."""
        missing, errs = _missing(row), _NEVER
        if missing:
            fitness = row.fitness()
            self.assumed += fitness is None and self._assume
            errs = _ERRS["yes" if fitness is None and self._assume else fitness]
        return [self._decided_by(decider, row, missing, errs) for decider in self._deciders]

    def _decided_by(
        self, decider: PartialDecider, row: RecordedDecision, missing: dict[str, str], errs: dict[bool, bool | None]
    ) -> Partial:
        bundle = decider.bundle
        recorded = self._recorded(row, bundle)
        if row.escaped:
            return _ESCAPED if recorded is None else Partial(frozenset({recorded}), tuple(row.rules), (), None)
        counters, unknown = self._counters(row, bundle)
        found = decider.decide(request_of_row(row, counters), missing | unknown, errs=errs[bundle.reads_numbers])
        if recorded is None:
            return found
        if recorded not in found.effects:
            self.not_reproduced.add(row.id, self._keep)
            return found
        return found if len(found.effects) == 1 else Partial(frozenset({recorded}), tuple(row.rules), (), None)

    def _recorded(self, row: RecordedDecision, bundle: PolicyBundle) -> Outcome | None:
        """The effect, where the row says what this very policy decided; an engine is deterministic."""
        if row.policy == bundle.hash:
            return row.effect
        if row.policy == self._enforces and bundle is self._deciders[0].bundle:
            return row.shadow_effect or row.effect
        return None

    def _counters(self, row: RecordedDecision, bundle: PolicyBundle) -> tuple[dict[str, float | None], dict[str, str]]:
        """Values of the counters that were declared alike when the row was written, and why others are not known."""
        declared = self._declared.get(row.policy, {})
        values: dict[str, float | None] = {}
        unknown: dict[str, str] = {}
        for name, counter in bundle.counters.items():
            values[name] = 0 if counter.sum is None else 0.0
            if declared.get(name) != counter:
                unknown[name] = f"counter.{name} is not known to have been declared alike"
            elif (value := row.counters.get(name)) is None:
                values[name] = None
            else:
                values[name] = int(value) if counter.sum is None else float(value)
        return values, unknown

    def _compare(self, row: RecordedDecision, now: Partial, was: Partial | None = None) -> None:
        before = was or Partial(frozenset({row.effect}), tuple(row.rules), (), None)
        for error in now.decision.errors if now.decision else ():
            self.errors.add(error.rule, row.id)
        if len(now.effects) != 1 or len(before.effects) != 1:
            self.unknown += 1
            for reason in dict.fromkeys((*now.reasons, *before.reasons)):
                self.reasons.add(reason, row.id)
            return
        (old,), (new,) = before.effects, now.effects
        self.before[old] += 1
        self.after[new] += 1
        if old == new:
            self.same += 1
            duties = _duties(now), row.obligations if was is None else _duties(was)
            if None not in duties and duties[0] != duties[1]:
                self.duties.add(new, row.id)
            return
        self._count(
            self.changes.setdefault((old, new), Change(Tally(), Tallies(self._keep), Tallies(self._keep))),
            row,
            now,
            before,
        )

    def _count(self, change: Change, row: RecordedDecision, now: Partial, before: Partial) -> None:
        change.total.add(row.id, self._keep)
        for rule in now.rules or (DEFAULT,):
            change.now.add(rule, row.id)
        for rule in before.rules or (DEFAULT,):
            change.was.add(rule, row.id)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        changes = [
            {
                "from": old,
                "to": new,
                **change.total.as_json(),
                "by": change.now.as_json(),
                "was_by": change.was.as_json(),
            }
            for (old, new), change in sorted(self.changes.items())
        ]
        return {
            "decisions": self.decisions,
            "same": self.same,
            "changed": self.changed,
            "unknown": self.unknown,
            "unknown_because": self.reasons.as_json(),
            "malformed": self.malformed.as_json(),
            "assumed_readable": self.assumed,
            "before": dict(self.before),
            "after": dict(self.after),
            "changes": changes,
            "obligations_changed": self.duties.as_json(),
            "errors": self.errors.as_json(),
            "not_reproduced": self.not_reproduced.as_json(),
        }


def enforcing(file: PolicyFile) -> PolicyFile:
    """The policy with every rule in shadow mode enforced."""
    rules = tuple(rule.model_copy(update={"mode": "enforce"}) for rule in file.rules)
    return file.model_copy(update={"rules": rules})


def _routes(bundle: PolicyBundle) -> int:
    """How many models rules route to: two at once are a denial, which a recorded shadow effect does not know of."""
    return len({o.model for c in bundle.rules for o in c.rule.obligations if isinstance(o, Route)})


def _missing(row: RecordedDecision) -> dict[str, str]:
    """Which contents are not what was decided upon, and why."""
    content = row.content
    if content is None or not content.exact:
        why = "are recorded as digests only" if content is None else "are recorded redacted or masked"
        missing = {"attributes": f"attributes {why}", "text": f"texts {why}"}
        if row.args_shape != {}:
            missing["args"] = f"arguments {why}"
        if row.args_shape is None:
            missing["provenance"] = "the names of arguments are not recorded"
        return missing
    missing = {} if content.attributes is not None else {"attributes": "attributes are not recorded"}
    if content.doubles is None:
        typeless = {"args": content.args, "attributes": content.attributes}
        missing |= {
            name: f"{name}: integers and doubles are not told apart"
            for name, held in typeless.items()
            if holds_whole_numbers(held)
        }
    return missing


def _duties(found: Partial) -> list[dict[str, Any]] | None:
    return found.decision and [obligation.model_dump(mode="json") for obligation in found.decision.obligations]


def _fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc'][:1]) or 'row'}: {problem['type']}"
    return str(error)[:100] or type(error).__name__
