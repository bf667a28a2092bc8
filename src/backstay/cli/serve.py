"""`backstay serve`: the console."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.web.console import Console
    from backstay.web.settings import ConsoleSettings

CONFIG_NAME = "console.yaml"


@click.command()
@click.option("--host", help="Address to listen on; one beyond this machine needs --origin. [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 = a free one. [default: 8311]")
@click.option(
    "--origin", help="Where browsers reach it, as in https://rate.example.org, behind a proxy that speaks TLS."
)
@click.option(
    "--config",
    "-c",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Settings. [default: {CONFIG_NAME} of the project, if there is one]",
)
@click.option("--demo", is_flag=True, help="Show a project of our own texts and simulated answers; nothing is kept.")
@shared_options
def serve(
    session: Session, host: str | None, port: int | None, origin: str | None, config: Path | None, *, demo: bool
) -> None:
    """Serve the console: people rate, lead, review and administer in the browser.

    The database is the project's, or that of BACKSTAY_DATABASE_URL. Without accounts, a link is printed that makes the
    first admin, once. Ctrl-C or SIGTERM ends it: running requests are answered first.

    With --demo no project is needed: one link leads to the rating page of a project that is deleted at the end, another
    makes an admin of it.
    """
    import contextlib
    import tempfile

    given = {"host": host, "port": port, "origin": origin}
    with contextlib.ExitStack() as stack:
        if demo:
            from backstay.web.demo import demo_console, demo_link

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="backstay-demo-"))
            console = demo_console(Path(folder), _settings(config, given))
            links: dict[str, str | None] = {"demo": demo_link(console), "setup": _setup_link(console)}
        else:
            console = _project_console(session, config, given)
            links = {"setup": _setup_link(console)}
        stack.callback(console.close)
        _run(session, console, links)


def _run(session: Session, console: "Console", links: dict[str, str | None]) -> None:
    import asyncio

    import uvloop

    from backstay.web.server import serve as serve_console

    def ready(address: str) -> None:
        found = {name: None if path is None else f"{address}{path}" for name, path in links.items()}
        if session.as_json:
            session.emit({"address": address} | found)
            return
        session.say(f"the console is at {address} (Ctrl-C ends)")
        if found.get("demo"):
            session.say(f"rate our own texts beside simulated answers: {found['demo']}")
            session.say(f"or make an admin, who invites a lead and others: {found['setup']}")
            session.say("everything is deleted when this ends")
        elif found.get("setup"):
            session.say(f"nobody has an account yet; make the first admin, within a day: {found['setup']}")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_console(console, ready))


def _project_console(session: Session, config: Path | None, given: dict[str, Any]) -> "Console":
    from backstay.storage.location import project_database
    from backstay.web.console import open_console

    project = session.project
    beside = project.root / CONFIG_NAME
    settings = _settings(config or (beside if beside.is_file() else None), given)
    database = project_database(project.state).render_as_string(hide_password=False)
    return open_console(database, project.state, settings, create=True)


def _setup_link(console: "Console") -> str | None:
    from backstay.web.accounts import invitations

    secret = console.write_now(invitations.setup)
    return None if secret is None else f"/join/{secret}"


def _settings(config: Path | None, given: dict[str, Any]) -> "ConsoleSettings":
    """Settings of the file with options laid over it."""
    from pydantic import ValidationError

    from backstay.errors import UsageError
    from backstay.guard.addresses import is_loopback
    from backstay.policy.yaml_reading import read_yaml
    from backstay.web.settings import ConsoleSettings

    data: Any = {} if config is None else read_yaml(config.read_text(encoding="utf-8"), str(config))
    if not isinstance(data, dict):
        raise UsageError(f"{config}: settings are a mapping", cure="write NAME: VALUE")
    data |= {name: value for name, value in given.items() if value is not None}
    try:
        settings = ConsoleSettings.model_validate(data)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
        raise UsageError(f"{config or 'options'}: " + "\n  ".join(told), cure="see docs/web/serve.md") from error
    if not is_loopback(settings.host) and not settings.origin:
        raise UsageError(
            f"{settings.host} can be reached from other machines, and no origin is set",
            cure="--origin https://rate.example.org, and a proxy there that speaks TLS",
        )
    return settings
