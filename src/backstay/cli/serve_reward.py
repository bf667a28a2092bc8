"""`backstay serve-reward`: the reward of a run over HTTP."""

import click

from backstay.cli.session import Session, shared_options


@click.command(name="serve-reward")
@click.argument("run", required=False, default="ppo")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address; one beyond this machine needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="Port; 0 = a free one.")
@click.option(
    "--token-variable",
    default="BACKSTAY_REWARD_TOKEN",
    show_default=True,
    help="The environment variable that holds the bearer token which clients must send; unset = none.",
)
@click.option("--cost-price", type=click.FloatRange(0), help="Multiplier of the cost. [default: the run's last]")
@shared_options
def serve_reward(
    session: Session, run: str, host: str, port: int, token_variable: str, cost_price: float | None
) -> None:
    """Serve a run's reward over HTTP, for trainers elsewhere.

    Ensemble, costs and gate. POST /score, /verl or /openrlhf; GET /health. Ctrl-C or SIGTERM ends it.

    RUN is a finished run of ppo or reward: a folder, the beginning of a run's name, or a stage. [default: the latest
    ppo]
    """
    import os
    import signal
    import threading

    from backstay.learn.rewards.reward_service import RewardService, is_loopback
    from backstay.pipeline.runs import resolve_run
    from backstay.pipeline.served_rewards import load_served

    token = os.environ.get(token_variable, "").strip()
    if not token and not is_loopback(host):
        from backstay.errors import UsageError

        raise UsageError(f"{host} can be reached from other machines, and {token_variable} is not set")
    say = (lambda _text: None) if session.as_json else session.say
    served = load_served(session.project, resolve_run(session.project, run), say, price=cost_price)
    about = {"run": served.run, "members": len(served.reward.members), "costs": len(served.reward.costs)}
    service = RewardService(served.reward.score, served.reader, host=host, port=port, token=token, about=about)
    end = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: end.set())
    try:
        with service.running():
            if session.as_json:
                session.emit(about | {"url": service.url, "token": bool(token)})
            else:
                session.say(f"serving the reward of {served.run} at {service.url}; Ctrl-C ends")
            while not end.wait(0.2):
                pass
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
    counts = service.counts.numbers()
    if not session.as_json:
        session.say(f"{counts['requests']} requests, {counts['rows']} responses scored, {counts['gated']} gated")
