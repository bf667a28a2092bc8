"""`backstay approve`: held tool calls in the terminal, on the project's own ledger; no gateway needs to run."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.guard.approvals import Approval, Approvals, Directory, Identity

MIN_DIGEST = 12
MIN_ENDING = 6


@dataclass(frozen=True)
class Desk:
    """The ledger open, and who sits at the terminal."""

    session: Session
    approvals: "Approvals"
    directory: "Directory"

    def find(self, text: str) -> "Approval":
        """By id, or by an ending of it that only one open approval has."""
        from backstay.errors import UsageError

        if len(text) >= len("00000000-0000-7000-8000-000000000000"):
            return self.approvals.get(text)
        if len(text) < MIN_ENDING:
            raise UsageError(f"{text!r} is too short", cure=f"give the id or its last {MIN_ENDING} characters")
        found = [approval for approval in self.open() if approval.id.endswith(text)]
        if len(found) != 1:
            raise UsageError(f"{len(found)} open approvals end with {text!r}", cure="give the whole id")
        return found[0]

    def open(self) -> "list[Approval]":
        """All that is pending or approved."""
        from backstay.guard.approvals import State

        found: list[Approval] = []
        while page := self.approvals.list((State.PENDING, State.APPROVED), found[-1].id if found else "", 200):
            found += page
        return found

    def sign_in(self, name: str) -> "Identity":
        """The approver, by the token in BACKSTAY_APPROVER_TOKEN or typed in."""
        import os

        token = os.environ.get("BACKSTAY_APPROVER_TOKEN") or click.prompt("token", hide_input=True, err=True)
        return self.directory.authenticate(name, str(token))


@click.group()
def approve() -> None:
    """List, show, approve, deny and edit held tool calls."""


def desk_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add --ledger and --approvers, and hand the command a Desk."""

    @click.option("--ledger", type=click.Path(path_type=Path), help="The ledger. [default: .backstay/guard.db]")
    @click.option(
        "--approvers", type=click.Path(path_type=Path), help="Who may approve. [default: .backstay/approvers.yaml]"
    )
    @shared_options
    def wrapped(session: Session, *args: Any, ledger: Path | None, approvers: Path | None, **kwargs: Any) -> None:
        with _desk(session, ledger, approvers) as desk:
            function(desk, *args, **kwargs)

    wrapped.__doc__, wrapped.__name__ = function.__doc__, function.__name__
    for parameter in reversed(getattr(function, "__click_params__", [])):
        wrapped = _with(wrapped, parameter)
    return wrapped


def _with(function: Callable[..., None], parameter: click.Parameter) -> Callable[..., None]:
    function.__click_params__ = [*getattr(function, "__click_params__", []), parameter]  # type: ignore[attr-defined]  # where click itself keeps them
    return function


HELD = click.argument("held", metavar="ID")
AS = click.option("--as", "name", required=True, envvar="BACKSTAY_APPROVER", help="Your id in the approvers file.")
DIGEST = click.option("--digest", default="", help="The digest that you were shown, or its first 12 digits or more.")


@approve.command(name="ls")
@desk_options
def ls(desk: Desk) -> None:
    """List what waits, oldest first."""
    found = desk.open()
    if desk.session.as_json:
        desk.session.emit([_payload(approval) for approval in found])
        return
    desk.session.table(("id", "tool", "for", "has", "state", "expires"), [_row(approval) for approval in found])
    desk.session.say(f"{len(found)} open; read one with: backstay approve show ID")


@approve.command()
@HELD
@desk_options
def show(desk: Desk, held: str) -> None:
    """Show exactly what an approval is for.

    ID is an id or the last characters of one. What could mislead the eye stands as a JSON escape.
    """
    approval = desk.find(held)
    if desk.session.as_json:
        shown = desk.approvals.rendered(approval.id).decode()
        desk.session.emit(_payload(approval) | {"shown": shown, "content": approval.content})
        return
    _print(desk, approval)


@approve.command(name="approve")
@HELD
@AS
@DIGEST
@click.option("--reason", default="", help="Why; kept in the journal.")
@desk_options
def approve_one(desk: Desk, held: str, name: str, digest: str, reason: str) -> None:
    """Approve what is shown."""
    _decide(desk, held, name, "approve", digest, reason)


@approve.command()
@HELD
@AS
@DIGEST
@click.option("--reason", default="", help="Why; kept in the journal.")
@desk_options
def deny(desk: Desk, held: str, name: str, digest: str, reason: str) -> None:
    """Deny; that is final, also after others have approved."""
    _decide(desk, held, name, "deny", digest, reason)


@approve.command(name="break-glass")
@HELD
@AS
@DIGEST
@click.option("--reason", required=True, help="Why this cannot wait; kept in the journal and sent to the pager.")
@desk_options
def break_glass(desk: Desk, held: str, name: str, digest: str, reason: str) -> None:
    """Approve in an emergency, together with a second person; both have the role break-glass."""
    _decide(desk, held, name, "break_glass", digest, reason)


@approve.command()
@HELD
@AS
@DIGEST
@click.option("--args", "file", type=click.File("r", encoding="utf-8"), help="New arguments as JSON; - is stdin.")
@desk_options
def edit(desk: Desk, held: str, name: str, digest: str, file: Any) -> None:
    """Put other arguments in its place: a new approval, without votes, that you cannot approve.

    Policy and scans run on the edit in the gateway; until then nobody can decide. Without --args an editor opens.
    """
    import json

    from backstay.errors import UsageError

    approval = desk.find(held)
    who = desk.sign_in(name)
    _confirm(desk, approval, "edit", digest)
    old = json.dumps(approval.content["args"], indent=2, ensure_ascii=True)
    text = file.read() if file else click.edit(old, extension=".json")
    try:
        args = json.loads(text or "")
    except json.JSONDecodeError as error:
        raise UsageError(f"the arguments are no JSON: {error}", cure="give one JSON object") from error
    if not isinstance(args, dict) or args == approval.content["args"]:
        raise UsageError("the arguments are no JSON object, or the same as before", cure="give one changed JSON object")
    made = desk.approvals.edit(approval.id, who, args, approval.digest)
    if desk.session.as_json:
        desk.session.emit(_payload(made))
    else:
        desk.session.say(f"{approval.id} superseded by {made.id}, which needs fresh votes")


@approve.command()
@click.argument("name")
@shared_options
def token(session: Session, name: str) -> None:
    """Make a token for an approver, and the lines that belong in the approvers file."""
    from backstay.guard.approvals import new_token

    made, digest = new_token()
    if session.as_json:
        session.emit({"id": name, "token": made, "token_sha256": digest})
        return
    session.say(f"token (shown once; give it to {name} only): {made}\n")
    session.say(f'  - id: {name}\n    roles: [ROLE]\n    token_sha256: "{digest}"')


def _decide(desk: Desk, held: str, name: str, vote: str, digest: str, reason: str) -> None:
    from backstay.records import uuid7

    approval = desk.find(held)
    who = desk.sign_in(name)
    _confirm(desk, approval, vote.replace("_", " "), digest)
    after = desk.approvals.decide(approval.id, who, vote, approval.digest, reason, f"terminal:{uuid7()}")
    if desk.session.as_json:
        desk.session.emit(_payload(after))
    else:
        desk.session.say(f"{after.id}: {after.state}{_still(after)}")


def _confirm(desk: Desk, approval: "Approval", doing: str, digest: str) -> None:
    """Nobody decides on what they were not shown: show it and ask, or take the digest of what was shown."""
    import sys

    from backstay.errors import UsageError
    from backstay.guard.approvals import Refusal

    if digest:
        if len(digest) < MIN_DIGEST or not approval.digest.startswith(digest):
            raise Refusal("other_digest", f"{approval.id} has the digest {approval.digest}, not {digest}")
        return
    if desk.session.as_json or not sys.stdin.isatty():
        raise UsageError("what were you shown?", cure="give --digest, as `backstay approve show ID` prints it")
    _print(desk, approval)
    click.confirm(f"{doing} this?", abort=True)


def _print(desk: Desk, approval: "Approval") -> None:
    from backstay.guard.approvals import shown_json
    from backstay.guard.approvals.approval import utc

    say = desk.session.say
    say(desk.approvals.rendered(approval.id).decode().rstrip("\n"))
    say(f"\napproval  {approval.id}")
    say(f"state     {approval.state}{_still(approval)}")
    say(f"expires   {utc(approval.expires_at_ms)} ({_left(approval)})")
    for rule, reason in zip(approval.rules, approval.reasons, strict=False):
        say(f"held by   {shown_json(rule)}: {shown_json(reason)}")
    for vote in approval.votes:
        void = "" if vote.digest == approval.digest else " (on an earlier digest; does not count)"
        say(f"{vote.vote:<9} {vote.person} {utc(vote.at_ms)} {shown_json(vote.reason)}{void}")


def _still(approval: "Approval") -> str:
    from backstay.guard.approvals import State

    if approval.unchecked:
        return ", waits for policy and scans in the gateway"
    return f", has {_has(approval)}" if approval.state is State.PENDING else ""


def _has(approval: "Approval") -> str:
    from backstay.guard.approvals.quorum import filled

    got = filled(approval.stages, approval.voters("approve"))
    parts = zip(got, approval.stages, strict=True)
    return ", ".join(f"{count} of {stage.k} {' or '.join(stage.roles)}" for count, stage in parts)


def _left(approval: "Approval") -> str:
    import time

    left_s = int(approval.expires_at_ms / 1000 - time.time())
    if left_s <= 0:
        return "over"
    hours, minutes = left_s // 3600, left_s % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{left_s} s"


def _row(approval: "Approval") -> tuple[str, ...]:
    from backstay.guard.approvals.rendering import visible

    short = approval.id[-8:]
    names = (visible(approval.tool), visible(approval.principal))
    return (short, *names, _has(approval), str(approval.state), _left(approval))


def _payload(approval: "Approval") -> dict[str, Any]:
    from backstay.guard.approvals.approval import utc

    return {
        "id": approval.id,
        "state": str(approval.state),
        "digest": approval.digest,
        "tool": approval.tool,
        "principal": approval.principal,
        "needs": [stage._asdict() for stage in approval.stages],
        "votes": [{"person": v.person, "vote": v.vote, "digest": v.digest, "reason": v.reason} for v in approval.votes],
        "expires_at": utc(approval.expires_at_ms),
        "unchecked": approval.unchecked,
        "supersedes": approval.supersedes,
        "superseded_by": approval.superseded_by,
    }


@contextlib.contextmanager
def _desk(session: Session, ledger: Path | None, approvers: Path | None) -> Iterator[Desk]:
    from backstay.errors import UsageError
    from backstay.guard.approvals import Approvals, Directory, read_settings
    from backstay.guard.approvals.people import checked_directory
    from backstay.guard.ledger import Ledger

    state = session.start / ".backstay"
    path, people = ledger or state / "guard.db", approvers or state / "approvers.yaml"
    if not path.is_file():
        raise UsageError(f"no ledger at {path}", cure="give --ledger FILE, or start the gateway once: it makes one")
    with Ledger.open(path, keys_dir=path.parent / "keys", create=False) as opened:
        if approvers is None and not people.is_file():
            if not session.as_json:
                session.say(f"nobody can approve: {people} is not there; make it with `backstay approve token NAME`")
            nobody = Directory([])
            yield Desk(session, Approvals(opened, lambda: nobody), nobody)
            return
        read = read_settings(people)
        directory: Directory = checked_directory(read.approvers, str(people))
        yield Desk(session, Approvals(opened, lambda: directory, settings=read.settings), directory)
