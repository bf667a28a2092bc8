"""`backstay chat`: talk to a policy."""

import click

from backstay.cli.session import Session, shared_options


@click.command()
@click.argument("run", required=False, default="ppo")
@click.option("--temperature", type=float, help="Divisor of the logits. [default: that of the training]")
@click.option("--max-new-tokens", type=click.IntRange(min=1), help="Tokens an answer. [default: that of the training]")
@shared_options
def chat(session: Session, run: str, temperature: float | None, max_new_tokens: int | None) -> None:
    """Talk to a policy, before and after training.

    Lines come from the terminal, or from a pipe: `echo hello | backstay chat`. /quit or Ctrl-D ends.

    RUN is a finished run of ppo, dpo or sft: a folder, the beginning of a run's name, or a stage.
    [default: the latest ppo]
    """
    from backstay.pipeline.runs import resolve_run

    found = resolve_run(session.project, run)
    if found.stage not in ("ppo", "dpo", "sft") or found.manifest is None:
        from backstay.errors import UsageError

        state = "unfinished" if found.manifest is None else f"a run of {found.stage}"
        raise UsageError(f"{found.name} is {state}; chat needs a finished run of ppo, dpo or sft", cure="backstay runs")
    from backstay.learn.chat import chat as talk

    talk(session.project, found, session.console, temperature=temperature, max_new_tokens=max_new_tokens)
