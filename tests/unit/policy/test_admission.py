import pytest
from policy_texts import bundle, rule

from backstay.errors import UsageError
from backstay.policy.admission import Admission, admit


def case(amount: int, expect: str) -> dict[str, object]:
    return {"request": {"args": {"amount": amount}}, "expect": expect}


def test_a_policy_passes_with_the_number_of_its_tests_and_warnings() -> None:
    tested = rule("pay", "permit", "args.amount < 5", tests=[case(1, "allow"), case(9, "deny")])
    assert admit(bundle([tested]), "it") == Admission(cases=2, warnings=0)
    assert admit(bundle([tested, rule("untested", when="args.amount > 7")]), "it") == Admission(cases=2, warnings=1)


def test_a_failing_test_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"candidate does not pass.*\n  test pay, case 1: effect: expected deny, got allow"
    ):
        admit(bundle([rule("pay", "permit", "args.amount < 5", tests=[case(1, "deny")])]), "candidate")


def test_an_error_of_lint_is_named() -> None:
    with pytest.raises(UsageError, match="lint open: permits every tool call"):
        admit(bundle([rule("open", "permit")]), "candidate")


def test_of_many_faults_five_are_shown_and_the_rest_counted() -> None:
    tests = [case(1, "deny")] * 8
    with pytest.raises(UsageError, match="case 5.*\n  and 3 more"):
        admit(bundle([rule("pay", "permit", "args.amount < 5", tests=tests)]), "candidate")
