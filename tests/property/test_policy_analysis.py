"""The formula of a condition is true, false or an error on exactly the requests on which the engine finds it so."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_expressions import conditions

from backstay.policy import CelExprEngine, ConditionError, Request
from backstay.policy.binding import Binder
from backstay.policy.cel_subset import parse_condition
from backstay.policy.counterexample import request_of_model
from backstay.policy.rules import Counter
from backstay.policy.symbolic import ABSENT, Symbols

pytestmark = pytest.mark.property

COUNTERS = {"n": Counter(count=True), "s": Counter(sum="args.a")}
numbers = st.integers(-2, 6).map(str)
relations = st.sampled_from(["<", "<=", "==", "!=", ">=", ">"])
atoms = st.one_of(
    st.sampled_from(["'lead' in principal.roles", "has(args.a)", "has(args.b)", "args.flag", "!args.flag", "true"]),
    st.sampled_from(["'tool' in provenance.a", "'user' in provenance.a", "args.b == 'x'", "args.b in ['x', 'yz', 3]"]),
    st.sampled_from(
        ["'x' in call.destination", "'x' in call.facts", "call.side_effect == 'pays'", "call.side_effect < 'q'"]
    ),
    st.sampled_from(["args.b.startsWith('x')", "args.b.endsWith('z')", "args.b != null"]),
    st.sampled_from(["counter.s + 1.5 > 2.0", "counter.n - findings.secret == 2", "double(args.a) > 2.5"]),
    st.builds(lambda op, n: f"args.a {op} {n}", relations, numbers),
    st.builds(lambda op, n: f"args.a {op} {n}.5", relations, numbers),
    st.builds(lambda op, n: f"findings.secret {op} {n}", relations, numbers),
    st.builds(lambda op, n: f"counter.n {op} {n}", relations, numbers),
)
expressions = conditions(atoms, 5)
VALUES: list[Any] = [1, 2.5, 3, 5, "x", "yz", "3", "nan", True, False, None, []]
arguments = st.dictionaries(st.sampled_from(["a", "b", "flag"]), st.sampled_from(VALUES))
ENGINE = CelExprEngine({"n": "int", "s": "double"})


def found(text: str, request: Request) -> str:
    bound = Binder(ENGINE, [text], COUNTERS).bind(request)
    try:
        if isinstance(bound, ConditionError):
            return "error"
        return "true" if ENGINE.compile(text)(bound) else "false"
    except ConditionError:
        return "error"


@settings(max_examples=60, deadline=None)
@given(expressions, st.lists(st.tuples(arguments, st.integers(0, 3), st.booleans()), min_size=12, max_size=12))
def test_the_formula_is_what_the_engine_finds(text: str, tries: list[tuple[dict[str, Any], int, bool]]) -> None:
    text = f"({text}) && true"  # The engine takes no condition whose type is only known at run time.
    symbols = Symbols(COUNTERS)
    z3 = symbols.z3
    truth = symbols.truth(parse_condition(text))
    for wanted, formula in {
        "true": truth.yes,
        "false": truth.no,
        "error": z3.Not(z3.Or(truth.yes, truth.no)),
    }.items():
        solver = z3.Solver()
        solver.set("timeout", 5000)
        solver.add(*symbols.facts, formula)
        answer = solver.check()
        if answer == z3.sat and "double(" not in text:
            request = request_of_model(solver.model(), symbols, "model.tool_call")
            assert found(text, request) == wanted
        if answer == z3.unsat:
            assert all(found(text, concrete(*each)) != wanted for each in tries)


def concrete(args: dict[str, Any], number: int, lead: bool) -> Request:
    origins = {name: ["tool"] if lead else ["user"] for name in args if number != 3}
    return Request(
        point="model.tool_call",
        roles=("lead",) if lead else (),
        args=args,
        findings=None if number == 2 else {"secret": number},
        provenance=origins if number else None,
        call=None if number == 1 else {"side_effect": "pays", "facts": ["x"], "destination": ["x"] if lead else []},
        counters={"n": number, "s": float(number)} if number != 1 else {},
    )


def test_kinds_of_arguments_begin_with_absence() -> None:
    assert ABSENT == 0
