"""`backstay guard bundle|replay|shadow|export`: sign a policy, and try one on recorded traffic before it decides."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.policy import PolicyBundle
    from backstay.policy.replay import Replay
    from backstay.policy.shadow import ShadowRecord
    from backstay.policy.tally import Tallies, Tally
    from backstay.policy.traffic import Proof

_DONE = {"allow": "allowed", "hold": "held", "deny": "denied"}
FILE = click.Path(dir_okay=False, path_type=Path)
LEDGER = click.argument("ledger", metavar="LEDGER_OR_JSONL")
NO_VERIFY = click.option("--no-verify", is_flag=True, help="Do not walk the hash chain of the journal.")
EXAMPLES = click.option(
    "--examples", type=click.IntRange(0, 100), default=3, show_default=True, help="Ids to show for each count."
)
ASSUME = click.option(
    "--assume-readable",
    is_flag=True,
    help="Take contents that are not recorded as readable (no NUL, NaN, ...) where a row does not say.",
)


@click.command()
@click.argument("policies", nargs=-1, required=True, type=FILE, metavar="POLICY...")
@click.option("-o", "--output", type=FILE, required=True, help="The bundle to write.")
@click.option(
    "--version",
    type=click.IntRange(1, 2**53 - 1),
    required=True,
    help="Grows with each bundle; a guard refuses one lower than the last it accepted.",
)
@click.option("--valid-days", type=click.FloatRange(0, 36_500, min_open=True), help="Expire after so many days.")
@click.option(
    "--key-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the signing key, made on first use. [default: the keys of the project]",
)
@shared_options
def bundle(
    session: Session,
    policies: tuple[Path, ...],
    output: Path,
    version: int,
    valid_days: float | None,
    key_dir: Path | None,
) -> None:
    """Sign policy files as one bundle: all tests beside the rules must pass, and lint must have no errors."""
    from datetime import UTC, datetime

    from backstay.policy.bundle_file import open_signed_bytes, sign_policy
    from backstay.policy.policy_texts import read_texts
    from backstay.storage.atomic import write_atomic
    from backstay.storage.keys import fingerprint, signing_key

    texts = read_texts(policies)
    key = signing_key(key_dir or session.project.keys)
    now = datetime.now(UTC)
    data = sign_policy(texts, key, version, now=now, valid_days=valid_days)
    public = key.public_key()
    found = open_signed_bytes(data, str(output), {fingerprint(public): public}, now=now).statement
    write_atomic(output, data)
    if session.as_json:
        session.emit({"output": str(output), **found.model_dump(mode="json", exclude={"files"})})
        return
    session.say(str(output))
    session.say(f"version {found.version} of policy {found.policy[:12]}, {len(found.files)} files")
    session.say(f"{found.cases} tests passed, {found.warnings} warnings; expires {found.expires_at or 'never'}")
    session.say(f"signed with the key {found.key[:16]}")


@click.command()
@LEDGER
@click.option("--policy", "policies", multiple=True, required=True, type=FILE, help="The candidate; one file or more.")
@click.option("--against", multiple=True, type=FILE, help="Compare with this policy. [default: what was recorded]")
@click.option("--strict", is_flag=True, help="Exit 1 unless every decision is known and stays as it is.")
@NO_VERIFY
@ASSUME
@EXAMPLES
@shared_options
def replay(
    session: Session,
    ledger: str,
    policies: tuple[Path, ...],
    against: tuple[Path, ...],
    *,
    strict: bool,
    no_verify: bool,
    assume_readable: bool,
    examples: int,
) -> None:
    """Decide recorded traffic again with a candidate policy, as it is written, and count every difference by rule.

    Nothing is guessed: where a condition reads contents that the ledger holds as digests only, and they matter, the
    decision is counted as unknown.
    """
    from backstay.policy import load_policies
    from backstay.policy.replay import Replay

    old = load_policies(against) if against else None
    new = load_policies(policies)
    compared = Replay(new, old, assume_readable=assume_readable, keep=examples)
    proof = _run(ledger, compared, verify=not no_verify)
    if session.as_json:
        session.emit({**_named(proof, new), "against": old and old.hash, **compared.as_json()})
    else:
        _say_proof(session, proof, new)
        _say_replay(session, compared, "recorded" if old is None else old.hash[:12])
    same = compared.same == compared.decisions and not compared.duties
    raise click.exceptions.Exit(1 if strict and not same else 0)


@click.command()
@LEDGER
@click.option("--policy", "policies", multiple=True, type=FILE, help="The candidate; one file or more.")
@NO_VERIFY
@ASSUME
@EXAMPLES
@shared_options
def shadow(
    session: Session,
    ledger: str,
    policies: tuple[Path, ...],
    *,
    no_verify: bool,
    assume_readable: bool,
    examples: int,
) -> None:
    """Say what would have happened had every rule in `mode: shadow` been enforced.

    First what the live policy's shadow rules recorded; with --policy, also that candidate with its shadow rules
    enforced, over the same traffic.
    """
    from backstay.policy import PolicyBundle, load_policies, read_policy
    from backstay.policy.replay import Replay, enforcing
    from backstay.policy.shadow import ShadowRecord

    written = load_policies(policies) if policies else None
    compared = None
    if written is not None:
        enforced = PolicyBundle.compile([(str(path), enforcing(read_policy(path))) for path in policies])
        compared = Replay(enforced, enforces=written, assume_readable=assume_readable, keep=examples)
    record = ShadowRecord(examples)
    proof = _run(ledger, compared, record, verify=not no_verify)
    if session.as_json:
        enforced_json = compared and compared.as_json()
        session.emit({**_named(proof, written), "recorded": record.as_json(), "enforced": enforced_json})
        return
    _say_proof(session, proof, written)
    _say_shadow(session, record)
    if compared is not None:
        session.say("\nThe candidate, with its shadow rules enforced:")
        _say_replay(session, compared, "recorded")


@click.command()
@LEDGER
@click.option("-o", "--output", type=FILE, required=True, help="The file to write, one JSON a line.")
@NO_VERIFY
@shared_options
def export(session: Session, ledger: str, output: Path, *, no_verify: bool) -> None:
    """Write the decisions of a ledger as JSON lines that replay and shadow read; each line keeps its hash."""
    from backstay.policy.traffic import export_decisions

    count, proof = export_decisions(ledger, output, verify=not no_verify)
    if session.as_json:
        session.emit({"output": str(output), "decisions": count, **_named(proof, None)})
        return
    session.say(str(output))
    session.say(f"{count} decisions")
    _say_proof(session, proof, None)


def _run(ledger: str, compared: "Replay | None", record: "ShadowRecord | None" = None, *, verify: bool) -> "Proof":
    from backstay.policy.recorded import read_row
    from backstay.policy.traffic import open_traffic

    with open_traffic(ledger, verify=verify) as traffic:
        for entry in traffic:
            name = f"entry {entry.seq}"
            row = compared.add(entry.payload, name) if compared is not None else read_row(entry.payload)
            if record is not None:
                record.add(row)
        return traffic.proof


def _named(proof: "Proof", policy: "PolicyBundle | None") -> dict[str, Any]:
    return {"journal": proof._asdict(), "policy": policy and policy.hash}


def _say_proof(session: Session, proof: "Proof", policy: "PolicyBundle | None") -> None:
    session.say(f"journal  {proof.entries} entries, chain {'verified' if proof.verified else 'not verified'}")
    session.say(f"head     {proof.head or '(empty)'}")
    if policy is not None:
        session.say(f"policy   {policy.hash}")


def _say_replay(session: Session, compared: "Replay", before: str) -> None:
    counts = f"{compared.same} stay, {compared.changed} change, {compared.unknown} are unknown"
    session.say(f"\n{compared.decisions} decisions: {counts}")
    if compared.before:
        session.say(f"  {'':6} {before:>12} {'candidate':>12}")
        for effect in ("allow", "hold", "deny"):
            session.say(f"  {effect:6} {compared.before[effect]:12} {compared.after[effect]:12}")
    for (old, new), change in sorted(compared.changes.items()):
        session.say(f"\nnewly {_DONE[new]}, {_DONE[old]} before: {_counted(change.total)}")
        _say_tallies(session, "by", change.now, change.total.count)
        _say_tallies(session, "no longer by", change.was, change.total.count)
    for title, tallies in (
        ("unknown", compared.reasons),
        ("other obligations, same effect", compared.duties),
        ("errors in conditions of the candidate", compared.errors),
        ("malformed rows", compared.malformed),
    ):
        if tallies:
            session.say(f"\n{title}:")
            _say_tallies(session, "", tallies)
    if compared.not_reproduced.count:
        session.say(f"\nnot what the named policy decides: {_counted(compared.not_reproduced)}")
        session.say("  (something else decided, or the row is not true)")
    if compared.assumed:
        session.say(f"\n{compared.assumed} decisions are assumed to have had readable contents (--assume-readable)")


def _say_shadow(session: Session, record: "ShadowRecord") -> None:
    session.say(f"\n{record.decisions} decisions asked rules in shadow mode")
    if record.malformed:
        session.say(f"  {record.malformed} malformed rows could not be read")
    for (old, new), count in sorted(record.together.items()):
        if old != new:
            session.say(f"  {count} would have changed from {old} to {new}, all rules enforced together")
    for rule in sorted(record.asked):
        erred = f", erred {record.erred[rule].count}" if record.erred[rule].count else ""
        session.say(
            f"\n{_plain(rule)}: asked {record.asked[rule]}, applied {record.applied[rule]}{erred}; alone it would have"
        )
        for effect, tallies in record.would.items():
            if tallies[rule].count:
                session.say(f"  {_DONE[effect]} {_counted(tallies[rule])}")
        if not any(tallies[rule].count for tallies in record.would.values()):
            session.say("  changed nothing")


def _say_tallies(session: Session, word: str, tallies: "Tallies", told: int = -1) -> None:
    """Counts by name; the examples of one that counts all of what was `told` already stand there."""
    for name, tally in tallies.ranked()[:20]:
        session.say(
            f"  {word}{' ' if word else ''}{_plain(name)}: {tally.count if tally.count == told else _counted(tally)}"
        )
    if len(tallies.ranked()) > 20:
        session.say(f"  ... and {len(tallies.ranked()) - 20} more (--json shows all)")


def _counted(tally: "Tally") -> str:
    ids = "".join(f"\n      {_plain(example)}" for example in tally.examples)
    return f"{tally.count}{ids}"


def _plain(text: str) -> str:
    """Text of a recorded row, without characters that could move the cursor or hide what stands there."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
