"""`backstay guard serve` and `backstay guard key`: the gateway, and who may use it."""

from pathlib import Path
from typing import Any

import click

from backstay.cli.session import Session, shared_options

CONFIG = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("guard.yaml"),
    show_default=True,
    help="Settings of the gateway.",
)


@click.command()
@CONFIG
@click.option("--upstream", help="Address of the models' API, /v1 included: serve without a guard.yaml.")
@click.option(
    "--policy", "policies", multiple=True, type=click.Path(dir_okay=False), help="A policy file; may be repeated."
)
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 = a free one.")
@click.option("--check", is_flag=True, help="Check everything and end without serving.")
@shared_options
def serve(
    session: Session,
    config: Path,
    upstream: str | None,
    policies: tuple[str, ...],
    host: str | None,
    port: int | None,
    *,
    check: bool,
) -> None:
    """Serve the gateway in front of models: change base_url to its address, and nothing else.

    Every text and tool call is decided by policy before it passes. SIGTERM lets running answers end; SIGHUP loads the
    policy anew.
    """
    import asyncio
    import os

    import uvloop

    from backstay.guard.gateway.assembly import Parts, assembled
    from backstay.guard.gateway.server import Server

    given = {"upstream": upstream, "policies": policies, "host": host, "port": port}
    settings, home = _settings(config, given)

    def ready(address: str, parts: Parts) -> None:
        if session.as_json:
            session.emit({"address": address, "policy": parts.live.bundle.hash})
            return
        rules = len(parts.live.bundle.rules)
        session.say(f"guarding {', '.join(u.base_url or f'run {u.run}' for u in settings.upstreams.values())}")
        session.say(f"at {address}/v1 (policy {parts.live.bundle.hash[:12]}, {rules} rules; Ctrl-C ends)")
        if parts.nobody_approves and any(rule.rule.effect == "hold" for rule in parts.live.bundle.rules):
            session.say("nobody can approve what is held; make .backstay/approvers.yaml: backstay approve token NAME")
        if parts.keys is None:
            session.say("no keys are set: everybody on this machine is the principal `local`")

    async def checked_only() -> None:
        async with assembled(settings, home, os.environ) as parts:
            session.say(f"all is well; policy {parts.live.bundle.hash[:12]}, {len(parts.live.bundle.rules)} rules")

    async def serving() -> None:
        await Server(settings, home, os.environ).run(ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(checked_only() if check else serving())


def _settings(config: Path, given: dict[str, Any]) -> tuple[Any, Path]:
    """Settings of the file with options laid over it, and the folder that paths in it start from."""
    from backstay.errors import UsageError
    from backstay.guard.gateway.settings import checked
    from backstay.policy.yaml_reading import read_yaml

    home = config.parent
    data: Any = {"guard": 1}
    if config.is_file():
        data = read_yaml(config.read_text(encoding="utf-8"), str(config))
    elif given["upstream"] is None:
        raise UsageError(
            f"{config} does not exist", cure="write it (docs/guard/gateway.md), or: backstay guard serve --upstream URL"
        )
    if isinstance(data, dict):
        if given["upstream"]:
            data["upstreams"] = {"main": {"base_url": given["upstream"]}}
        if given["policies"]:
            data["policies"] = [str(Path(path).absolute()) for path in given["policies"]]
        data |= {name: given[name] for name in ("host", "port") if given[name] is not None}
    return checked(data, str(config)), home


@click.group()
def key() -> None:
    """Virtual keys: who may use the gateway, and for what."""


KEYS = click.option(
    "--keys",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("keys.yaml"),
    show_default=True,
    help="File of the keys.",
)


@key.command(name="add")
@click.argument("name")
@KEYS
@click.option("--role", "roles", multiple=True, help="A role that policies may ask for; may be repeated.")
@click.option("--model", "models", multiple=True, help="A pattern of models that it may use. [default: any]")
@click.option("--owner", default="", help="The person behind it, who cannot approve what it asks for.")
@click.option("--per-minute", type=click.IntRange(1), help="Requests a minute. [default: no limit]")
@shared_options
def add(
    session: Session,
    name: str,
    keys: Path,
    roles: tuple[str, ...],
    models: tuple[str, ...],
    owner: str,
    per_minute: int | None,
) -> None:
    """Make a key for NAME and print it once; the file keeps a digest only."""
    from backstay.guard.gateway.keys import add_key

    facts: dict[str, Any] = {"roles": roles, "owner": owner, "per_minute": per_minute}
    token = add_key(keys, name, **facts, **({"models": models} if models else {}))
    if session.as_json:
        session.emit({"id": name, "key": token})
        return
    session.say(token)


@key.command(name="ls")
@KEYS
@shared_options
def list_keys(session: Session, keys: Path) -> None:
    """List the keys of a file."""
    from backstay.guard.gateway.keys import read_keys

    found = read_keys(keys)
    if session.as_json:
        session.emit([one.model_dump(mode="json", exclude={"token"}) for one in found])
        return
    session.table(
        ["id", "roles", "models", "owner", "a minute"],
        [[k.id, ", ".join(k.roles), ", ".join(k.models), k.owner, k.per_minute or "-"] for k in found],
    )


@key.command(name="rm")
@click.argument("name")
@KEYS
@shared_options
def remove(session: Session, name: str, keys: Path) -> None:
    """Take the key of NAME out of the file; a running gateway follows within seconds."""
    from backstay.guard.gateway.keys import remove_key

    remove_key(keys, name)
    if not session.as_json:
        session.say(f"{name} has no key any longer")
