"""`backstay guard`: the gateway, and the policies that stand between a model and the world."""

from pathlib import Path

import click

from backstay.cli import guard_policy
from backstay.cli.guard_audit import audit, explain
from backstay.cli.guard_harvest import forget, harvest
from backstay.cli.guard_mcp import mcp
from backstay.cli.guard_release import sign_release
from backstay.cli.guard_serve import key, serve
from backstay.cli.session import Session, shared_options

POLICIES = click.argument(
    "policies", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="POLICY..."
)


@click.group()
def guard() -> None:
    """Serve the gateway; test, sign, replay and explain policies."""


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


@guard.command()
@POLICIES
@click.option("--tool", help="Ask whether this tool can be reached with an argument of a given origin.")
@click.option("--origin", default="tool", show_default=True, help="The origin to ask about.")
@click.option("--arg", help="The argument to ask about. [default: any]")
@shared_options
def analyze(session: Session, policies: tuple[Path, ...], *, tool: str | None, origin: str, arg: str | None) -> None:
    """Prove which rules never decide, and find requests that a permit and a forbid both match, by z3.

    With --tool, ask whether a call can be allowed while an argument comes from --origin; exit 1 unless that is proven
    impossible. "can" comes with a request that the engine decided so; "not analysable" says what it does not decide.
    """
    import dataclasses

    from backstay.policy import load_policies
    from backstay.policy.analyze import analyze as analyze_policy
    from backstay.policy.analyze import reachable_while_tainted

    bundle = load_policies(policies)
    answers = [reachable_while_tainted(bundle, tool, origin, arg)] if tool else list(analyze_policy(bundle))
    rows = [{**a._asdict(), "example": dataclasses.asdict(a.example) if a.example else None} for a in answers]
    if session.as_json:
        session.emit({"policy": bundle.hash, "answers": rows})
    for row in [] if session.as_json else rows:
        session.say(f"{row['question']} {row['verdict']}: {row['detail']}")
        if row["example"]:
            session.say("  " + "; ".join(f"{key}={value!r}" for key, value in row["example"].items() if value))
    if not answers and not session.as_json:
        session.say(f"every one of {len(bundle.rules)} rules can decide, and no permit and forbid meet")
    wrong = any((answer.verdict != "never") if tool else (answer.verdict == "never") for answer in answers)
    raise click.exceptions.Exit(1 if wrong else 0)


for command in (
    serve,
    key,
    mcp,
    explain,
    audit,
    sign_release,
    guard_policy.bundle,
    guard_policy.replay,
    guard_policy.shadow,
    guard_policy.export,
    harvest,
    forget,
):
    guard.add_command(command)
