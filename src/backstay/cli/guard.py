"""`backstay guard`: test and lint the policies that stand between a model and the world."""

from pathlib import Path

import click

from backstay.cli.session import Session, shared_options

POLICIES = click.argument(
    "policies", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="POLICY..."
)


@click.group()
def guard() -> None:
    """Test and lint policies for tools and texts."""


@guard.command()
@POLICIES
@shared_options
def test(session: Session, policies: tuple[Path, ...]) -> None:
    """Decide the tests that stand beside the rules; exit 1 when one gets another answer than it expects.

    Several files are one policy. Every test is decided by all of it, not by its rule alone.
    """
    from backstay.errors import BackstayError
    from backstay.policy import load_policies, run_cases

    bundle = load_policies(policies)
    results = run_cases(bundle)
    failed = [result for result in results if not result.passed]
    if session.as_json:
        rows = [
            {"rule": r.rule, "case": r.case, "effect": r.decision.effect, "differences": r.differences} for r in results
        ]
        session.emit({"policy": bundle.hash, "cases": rows, "failed": len(failed)})
    for result in [] if session.as_json else failed:
        session.say(f"FAILED {result.rule}: {result.case}")
        for difference in result.differences:
            session.say(f"  {difference}")
    if failed:
        if session.as_json:
            raise click.exceptions.Exit(1)
        raise BackstayError(f"{len(failed)} of {len(results)} tests failed", cure="correct the rule or the expectation")
    if not session.as_json:
        session.say(f"{len(results)} tests of {len(bundle.rules)} rules passed; policy {bundle.hash[:12]}")


@guard.command()
@POLICIES
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@shared_options
def lint(session: Session, policies: tuple[Path, ...], *, strict: bool) -> None:
    """Say what is legal in a policy and still surely not meant; exit 1 when there is an error.

    Errors: a rule that can never decide, a permit of tool calls without a condition, a rule that matches nothing.
    Warnings: rules without tests, conditions that stand twice, counters that nothing reads.
    """
    from backstay.errors import BackstayError
    from backstay.policy import lint as lint_policy
    from backstay.policy import load_policies

    bundle = load_policies(policies)
    remarks = lint_policy(bundle)
    failed = [remark for remark in remarks if strict or remark.level == "error"]
    if session.as_json:
        session.emit({"policy": bundle.hash, "remarks": [remark._asdict() for remark in remarks]})
        raise click.exceptions.Exit(1 if failed else 0)
    for remark in remarks:
        session.say(f"{remark.level}: {remark.rule or 'policy'}: {remark.message} [{remark.check}]")
    if failed:
        raise BackstayError(f"{len(failed)} remarks on {len(bundle.rules)} rules", cure="change the rules named above")
    session.say(f"{len(bundle.rules)} rules, {len(remarks)} warnings; policy {bundle.hash[:12]}")
