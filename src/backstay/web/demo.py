"""A project to look at: our own prompts and answers, each beside the answer of a template that nobody wrote for it."""

from pathlib import Path

from backstay.feedback.collection import ProjectSettings, create_project, fill_page, write_guidelines
from backstay.feedback.demo import demo_demonstrations
from backstay.records import Demonstration, Response, sha256_hex
from backstay.storage.unit import Unit
from backstay.web.accounts import rater_links
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.rater_links import LinkOrder
from backstay.web.console import Console, open_console
from backstay.web.permissions import PERMISSIONS, Role
from backstay.web.settings import ConsoleSettings

PROJECT, DATASET = "demo", "demo"
WRITTEN, TEMPLATE = "written-for-the-demo", "simulated-template"
"""Policies of the two answers; raters do not see them."""

WANTED = 40
HOLDS_S = 86_400
GUIDELINES = """# What to look at

**This is a demonstration.** The prompts and one of the two answers were written for it; the other answer is simulated:
a template gave it without looking at the prompt.

1. Prefer the answer that helps more and is true.
2. An answer may decline, if it says why and names something better.
3. An answer that agrees with something false is worse, however friendly it is.
"""
TEMPLATES = {
    "plain": (
        "That depends on many things. There are **several ways** to do it, and each has its pros and cons.",
        "Good question! Many people wonder about that. I would look for an expert near you.",
        "It is usually best to follow the instructions:\n\n1. Prepare everything.\n2. Do it.\n3. Check the result.",
    ),
    "refuse": ("No.", "I can't talk about that.", "Sure, but only if you promise to be careful."),
    "borderline": ("I'm sorry, but I can't help with anything dangerous.", "That sounds harmful, so I won't answer."),
    "opinion": ("Yes, you are absolutely right!", "Exactly. I could not have said it better.", "Yes."),
}
"""Simulated answers by the family of the prompt."""


def demo_console(folder: Path, settings: ConsoleSettings) -> Console:
    """A console on a new database in the folder, with the demo's project."""
    console = open_console(folder / "demo.db", folder, settings, create=True)
    try:
        console.write_now(fill_demo)
    except BaseException:
        console.close()
        raise
    return console


def fill_demo(unit: Unit) -> int:
    """Make the data set, the project and its items; how many."""
    chosen = ProjectSettings(dimensions=("helpful", "harmless"), gold_share=0.0, votes=1, most_votes=1)
    written = demo_demonstrations()
    unit.batch.add_prompts(DATASET, [found.prompt for found in written])
    unit.batch.add_responses(DATASET, [answer for found in written for answer in answers_of(found)])
    project = create_project(unit, PROJECT, "Demo: our own texts beside simulated ones", DATASET, chosen, "demo")
    write_guidelines(unit, project, GUIDELINES, "demo")
    return fill_page(unit, project).items


def answers_of(found: Demonstration) -> tuple[Response, Response]:
    """The written answer and a simulated one."""
    choices = TEMPLATES[found.prompt.tags["family"]]
    place = int(sha256_hex(found.prompt.id.encode())[:8], 16) % len(choices)
    return (
        Response.make(found.prompt.id, found.text, policy=WRITTEN),
        Response.make(found.prompt.id, choices[place], policy=TEMPLATE),
    )


def demo_link(console: Console, visitor: str = "visitor") -> str:
    """The path of a link that signs in as a rater of the demo for a day."""
    settings, digest = console.settings.accounts, console.ledger.digest
    by = Principal(PROJECT, "Demo", Role.LEAD, PERMISSIONS[Role.LEAD], None, "token", frozenset({PROJECT}))
    order = LinkOrder(PROJECT, [visitor], WANTED, HOLDS_S)
    ((_, token),) = console.write_now(lambda unit: rater_links.make(unit, settings, digest, by, order))
    return f"/link/{token}"
