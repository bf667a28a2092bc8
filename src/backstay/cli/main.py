"""`backstay`: the table of commands and the way in. Commands are imported when they are asked for."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from backstay import __version__
from backstay.cli.failures import report_failure

Entry = tuple[str, str]

SECTIONS: dict[str, dict[str, Entry]] = {
    "The loop": {
        "init": ("init:init", "Make a project folder with a recipe."),
        "run": ("run:run", "Run the stage graph; what is done already is reused."),
        "plan": ("plan:plan", "Estimate time, memory and disk before a run."),
        "report": ("report:report", "Write report.html from what has run, and say where it is."),
    },
    "One stage alone": {
        "sft": ("stage:sft", "Teach the base model the form of a good answer."),
        "sample": ("stage:sample", "Let the model answer every prompt several times."),
        "rate": ("stage:rate", "Collect judgments: simulated raters, or an imported data set."),
        "aggregate": ("aggregate:aggregate", "Turn judgments into pairs with a probability, and raters into trust."),
        "screen": ("stage:screen", "Decide which pairs a model may learn from."),
        "reward": ("reward:reward", "Learn what people prefer, and how sure that is."),
        "ppo": ("stage:ppo", "Improve the policy against the reward without drifting."),
        "dpo": ("stage:dpo", "Improve the policy on the pairs themselves, without a reward model."),
        "evaluate": ("stage:evaluate", "Compare before and after on held-out prompts."),
        "redteam": ("stage:redteam", "Attack the pipeline and measure what holds."),
    },
    "Feedback": {
        "serve": ("serve:serve", "Serve the console: people rate, lead, review and administer in the browser."),
        "import": (
            "import_data:import_data",
            "Store judgments from a file, or responses to be judged; bad rows are refused with their places.",
        ),
        "export": ("export_data:export_data", "Write pairs, judgments, merged models or run specs for other tools."),
        "audit": ("audit:audit", "Write the pairs that a trusted person should judge once more."),
        "raters": ("raters:raters", "Show how far each rater is trusted."),
        "quarantine": ("quarantine:quarantine", "List, show and release quarantined pairs."),
    },
    "The guard": {
        "approve": ("approve:approve", "List, show, approve, deny and edit held tool calls."),
        "guard": ("guard:guard", "Serve the gateway; test, sign, replay and explain policies."),
    },
    "Keeping": {
        "db": ("db:db", "Back up, restore, check and migrate the project's database."),
    },
    "Looking": {
        "runs": ("runs:runs", "List the runs of a project."),
        "compare": ("compare:compare", "Show settings, results and metrics of two runs side by side."),
        "chat": ("chat:chat", "Talk to a policy, before and after training."),
        "serve-policy": ("serve_policy:serve_policy", "Serve a run's policy over HTTP, to OpenAI's clients."),
        "serve-reward": ("serve_reward:serve_reward", "Serve a run's reward over HTTP, for trainers elsewhere."),
        "verify": ("verify:verify", "Check the journals and every run against their hashes."),
        "doctor": ("doctor:doctor", "Check this machine and name a cure for what is wrong."),
        "config": ("config:config", "Show the resolved recipe."),
    },
}
COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and one-line help, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"backstay.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and one-line helps by section, without importing anything."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.command(
    cls=LazyGroup,
    context_settings={
        "auto_envvar_prefix": "BACKSTAY",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
)
@click.version_option(__version__, prog_name="backstay")
def cli() -> None:
    """Human judgments to an aligned language model, with feedback treated as untrusted input.

    Start with `backstay init DIR`, then `backstay run` in that folder. Every option can be set by a variable
    BACKSTAY_COMMAND_OPTION, every setting of the recipe by BACKSTAY_SECTION__KEY.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 a gate refused, 4 integrity broken, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors become one message and an exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result: Any = cli.main(args=args, prog_name="backstay", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  the one place where every error becomes a message
        sys.exit(report_failure(error, as_json="--json" in args))
    sys.exit(result if isinstance(result, int) else 0)
