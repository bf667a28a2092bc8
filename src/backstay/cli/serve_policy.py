"""`backstay serve-policy`: the policy of a run behind the API that OpenAI's clients speak."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from threading import Event


@click.command(name="serve-policy")
@click.argument("run", required=False, default="ppo")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address; one beyond this machine needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8786, show_default=True, help="Port; 0 = a free one.")
@click.option(
    "--token-variable",
    default="BACKSTAY_POLICY_TOKEN",
    show_default=True,
    help="The environment variable that holds the bearer token which clients must send; unset = none.",
)
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="A file that holds it, closed to others."
)
@click.option("--token-stdin", is_flag=True, help="Read it from a line of standard input, and end when that ends.")
@click.option("--queue", type=click.IntRange(0, 1000), default=16, show_default=True, help="Requests that may wait.")
@click.option("--max-prompt-tokens", type=click.IntRange(1), help="Longest prompt taken. [default: what the model has]")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer. [default: half of what the model has]")
@click.option(
    "--release-keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Serve a signed release only: folder of the public keys that may sign it.",
)
@click.option(
    "--revoked", type=click.Path(dir_okay=False, path_type=Path), help="List of revoked releases, with --release-keys."
)
@click.option("--drain-s", type=click.FloatRange(0, 3600), default=10.0, show_default=True, help="Seconds to end in.")
@shared_options
def serve_policy(
    session: Session,
    run: str,
    host: str,
    port: int,
    token_variable: str,
    token_file: Path | None,
    queue: int,
    max_prompt_tokens: int | None,
    max_tokens: int | None,
    release_keys: Path | None,
    revoked: Path | None,
    drain_s: float,
    *,
    token_stdin: bool,
) -> None:
    """Serve a run's policy over HTTP, to OpenAI's clients.

    /v1/chat/completions, /v1/completions, /v1/models; whole or streamed, with n, temperature, top_p, max_tokens, stop
    and seed. One request at a time. Ctrl-C or SIGTERM ends it.

    RUN is a finished run of sft, ppo or dpo: a folder, the beginning of a run's name, or a stage; or `base`, the
    recipe's model before training. [default: the latest ppo]
    """
    import signal
    import threading

    end = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: end.set())
    token = _token(token_variable, token_file, end if token_stdin else None)
    from backstay.errors import UsageError
    from backstay.learn.serving.http_service import is_loopback
    from backstay.learn.serving.policy_service import PolicyService
    from backstay.pipeline.served_policy import Trust, load_served_policy

    if not token and not is_loopback(host):
        raise UsageError(f"{host} can be reached from other machines, and no token is given")
    if revoked is not None and release_keys is None:
        raise UsageError("--revoked without --release-keys", cure="name the folder of the trusted keys")
    served = load_served_policy(
        session.project,
        run,
        session.recipe,
        (lambda _text: None) if session.as_json else session.say,
        trust=None if release_keys is None else Trust(release_keys, revoked),
        max_prompt_tokens=max_prompt_tokens,
        max_tokens=max_tokens,
    )
    service = PolicyService(
        served.policy, served.names, queue=queue, host=host, port=port, token=token, about=served.about
    )
    try:
        with service.running(drain_s):
            if session.as_json:
                session.emit({"url": service.url, "models": served.names, "token": bool(token), **served.about})
            else:
                session.say(f"serving {served.about['run']} at {service.url}/v1; Ctrl-C ends")
            while not end.wait(0.2):
                pass
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
    counts = service.counts.numbers()
    if not session.as_json:
        session.say(f"{counts['requests']} requests, {counts['tokens']} tokens, {counts['cancelled']} cancelled")


def _token(variable: str, file: Path | None, end: "Event | None") -> str:
    """The bearer token; with `end`, which is set when standard input ends, it is the first line of that."""
    import os
    import sys
    import threading

    from backstay.errors import UsageError

    if end is not None:
        token = sys.stdin.readline().strip()
        if not token:
            raise UsageError("--token-stdin: the first line of standard input is empty")
        threading.Thread(target=_end_with_input, args=(end,), daemon=True, name="backstay-lifeline").start()
        return token
    if file is None:
        return os.environ.get(variable, "").strip()
    if file.stat().st_mode & 0o077:
        raise UsageError(f"{file} is open to others", cure=f"chmod 600 {file}")
    token = file.read_text(encoding="utf-8").strip()
    if not token:
        raise UsageError(f"{file} is empty")
    return token


def _end_with_input(end: "Event") -> None:
    import sys

    sys.stdin.read()
    end.set()
