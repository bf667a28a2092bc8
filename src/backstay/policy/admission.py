"""What a policy must pass before it is signed or takes another's place: its own tests, and lint without errors."""

from typing import NamedTuple

from backstay.errors import UsageError
from backstay.policy.cases import run_cases
from backstay.policy.engine import PolicyBundle
from backstay.policy.lint import lint

_SHOWN = 5


class Admission(NamedTuple):
    """How a policy passed."""

    cases: int
    warnings: int


def admit(bundle: PolicyBundle, name: str) -> Admission:
    """Run the tests and lint of a policy; raises UsageError that names what failed. `name` is for the message."""
    results = run_cases(bundle)
    faults = [f"test {r.rule}, {r.case}: {r.differences[0]}" for r in results if not r.passed]
    remarks = lint(bundle)
    faults += [f"lint {m.rule or 'policy'}: {m.message}" for m in remarks if m.level == "error"]
    if faults:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UsageError(
            f"{name} does not pass its own checks:\n  " + "\n  ".join(faults[:_SHOWN]) + more,
            cure="correct the policy; `backstay guard test` and `backstay guard lint` show all",
        )
    return Admission(cases=len(results), warnings=len(remarks))
