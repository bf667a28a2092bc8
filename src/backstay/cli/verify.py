"""`backstay verify`: does what is stored still match its hashes?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.pipeline.project import Project


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@shared_options
def verify(session: Session, path: Path | None) -> None:
    """Check the journals and every run against their hashes.

    PATH is a run folder, a project, or a ledger such as .backstay/guard.db; without it, the project is checked. Exit
    code 4 when anything does not hold.
    """
    from backstay.errors import IntegrityError
    from backstay.pipeline.project import Project

    if path is not None and (path / "manifest.json").is_file():
        checks = [_check_run(path)]
    elif path is not None and path.is_file():
        checks = [_check_ledger(path)]
    else:
        project = Project.find(path) if path else session.project
        checks = [*_check_journal(project), *_check_guard(project), *(_check_run(run) for run in _run_folders(project))]
    broken = [check for check in checks if check["problems"]]
    if session.as_json:
        session.emit({"ok": not broken, "checks": checks})
    else:
        for check in checks:
            session.say(f"{'ok    ' if not check['problems'] else 'BROKEN'} {check['what']}: {check['text']}")
    if broken:
        problems = "; ".join(f"{check['what']}: {problem}" for check in broken for problem in check["problems"])
        raise IntegrityError(problems, cure="look at what changed it; a run can be made again with: backstay run")


def _run_folders(project: "Project") -> list[Path]:
    if not project.runs.is_dir():
        return []
    return sorted(path for path in project.runs.iterdir() if path.is_dir() and not path.name.startswith("."))


def _check_run(path: Path) -> dict[str, Any]:
    from backstay.errors import IntegrityError
    from backstay.pipeline.manifest import broken_outputs, read_manifest

    try:
        manifest = read_manifest(path)
        problems = broken_outputs(path, manifest) if manifest else []
    except IntegrityError as error:
        return {"what": path.name, "problems": [error.message], "text": error.message}
    text = f"{len(manifest.outputs)} files" if manifest else "unfinished, nothing to check yet"
    return {"what": path.name, "problems": problems, "text": "; ".join(problems) or text}


def _check_guard(project: "Project") -> list[dict[str, Any]]:
    ledger = project.state / "guard.db"
    return [_check_ledger(ledger)] if ledger.is_file() else []


def _check_ledger(path: Path) -> dict[str, Any]:
    from backstay.errors import IntegrityError
    from backstay.storage import Sealer, open_database, verify_journal
    from backstay.storage.location import seals_of

    try:
        engine = open_database(path)
        try:
            found = verify_journal(engine, Sealer(path.parent / "keys", seals_of(path, path.parent)).read())
        finally:
            engine.dispose()
    except IntegrityError as error:
        return {"what": path.name, "problems": [error.message], "text": error.message}
    text = f"{found.entries} entries, {found.unsealed_entries} of them not sealed yet"
    return {"what": path.name, "problems": [found.broken] if found.broken else [], "text": found.broken or text}


def _check_journal(project: "Project") -> list[dict[str, Any]]:
    from backstay.errors import IntegrityError
    from backstay.storage import Store

    if not Store.may_exist(project.root):
        seals = project.state / "journal.seals.jsonl"
        gone = f"{project.database.name} is missing, but {seals.name} says that a journal was kept"
        return [{"what": "journal", "problems": [gone], "text": gone}] if seals.exists() else []
    try:
        with Store(project.root) as store:
            found = store.verify()
    except IntegrityError as error:
        return [{"what": "journal", "problems": [error.message], "text": error.message}]
    text = f"{found.entries} entries, {found.unsealed_entries} of them not sealed yet"
    return [{"what": "journal", "problems": [found.broken] if found.broken else [], "text": found.broken or text}]
