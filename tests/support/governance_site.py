"""A console with something to decide: disputes, a draft, gold, and a run of screen with pairs in quarantine. All is made up."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collection_world import fill_dataset, verdict
from console_site import Browser, ConsoleSite, console_site

from backstay.feedback.collection import (
    Assignment,
    Project,
    ProjectSettings,
    Submission,
    create_project,
    fill_page,
    issue,
    project_of,
    submit,
    write_guidelines,
)
from backstay.records import Finding, Message, Pair, Prompt, Response, Task
from backstay.storage import Repository, write_records
from backstay.web.permissions import Role

SETTINGS = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2)
SCREEN, RATE = "screen-0123456789ab", "rate-ba9876543210"


class GovernanceSite:
    """The console, its project `p` on data set `d`, and people by role."""

    def __init__(self, site: ConsoleSite, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.repository = Repository(site.console.engine)
        self.people = {role: site.add(role, f"{role.value}.one") for role in Role}
        self.people_two = {
            role: site.add(role, f"{role.value}.two") for role in (Role.REVIEWER, Role.LEAD, Role.SECURITY)
        }

    @property
    def project(self) -> Project:
        with self.site.console.engine.connect() as connection:
            return project_of(connection, "p")

    def browser(self, role: Role, *, second: bool = False) -> Browser:
        """A browser in which the first or second person of a role is signed in."""
        return self.site.signed_in((self.people_two if second else self.people)[role])

    def rater(self, role: Role) -> str:
        return str(self.people[role].rater_id)

    def judge(self, rater: str, winner: int | None, **more: Any) -> Assignment:
        """A rater takes the next task and names the better response by index."""
        console = self.site.console
        found = console.write_now(lambda unit: issue(unit, self.project, rater, console.secret)).assignment
        assert found is not None
        sent = Submission.model_validate(verdict(found, winner).model_dump() | more)
        self.site.clock.move(20)
        console.write_now(lambda unit: submit(unit, found.id, rater, f"key-{found.id}", sent, console.secret))
        return found

    def dispute(self, times: int = 2) -> list[str]:
        """Two raters contradict each other on every item, of which there are so many; ids of the items."""
        for name, winner, why in (("r-ann", 0, "It answers the question."), ("r-ben", 1, "The other one is *calmer*.")):
            for _ in range(times):
                self.judge(name, winner, rationale=why)
        with self.site.console.engine.connect() as connection:
            query = "SELECT id FROM items WHERE state = 'disputed' ORDER BY id"
            return list(connection.exec_driver_sql(query).scalars())

    def draft(self, rater: str = "r-ann", text: str = "Answer 0 to it, and why it holds.") -> str:
        """A rater writes a better answer; its id."""
        self.judge(rater, 0, edit={"slot": 0, "text": text})
        with self.site.console.engine.connect() as connection:
            return str(connection.exec_driver_sql("SELECT id FROM drafts ORDER BY id DESC LIMIT 1").scalar())

    def quarantine(self) -> Pair:
        """A finished run of screen with one pair in quarantine and one that passed."""
        first, second = (
            Pair(
                id=f"pair-{n}",
                prompt_id=task.prompt_id,
                a=task.response_ids[0],
                b=task.response_ids[1],
                p_a=0.91,
                weight=1.0,
                n_raters=3,
                status="quarantined" if n == 0 else "accepted",
                findings=(Finding(scanner="baseline", kind="danger", severity="high", evidence="Answer"),)
                if n == 0
                else (),
            )
            for n, task in enumerate(self.repository.tasks("d")[:2])
        )
        self._run(SCREEN, {"inputs": {"rate": {"run": RATE}}, "finished": "2027-01-01T00:00:00Z"})
        self._run(RATE, {"summary": {"dataset": "d"}})
        write_records(self.folder / "runs" / SCREEN / "pairs.jsonl", [first, second])
        write_records(self.folder / "runs" / RATE / "prompts.jsonl", self.repository.prompts("d"))
        write_records(self.folder / "runs" / RATE / "responses.jsonl", self.repository.responses("d"))
        return first

    def _run(self, name: str, predicate: dict[str, Any]) -> None:
        path = self.folder / "runs" / name
        path.mkdir(parents=True)
        (path / "manifest.json").write_text(json.dumps({"predicate": predicate}))


@contextlib.contextmanager
def governance(
    folder: Path, prompts: int = 2, gold: int = 0, settings: ProjectSettings = SETTINGS
) -> Iterator[GovernanceSite]:
    """The site until the block ends."""
    with console_site(folder) as site:
        repository = Repository(site.console.engine)
        fill_dataset(repository, prompts, gold)
        _make(site, settings)
        yield GovernanceSite(site, folder)


def _make(site: ConsoleSite, settings: ProjectSettings) -> None:
    console = site.console
    project = console.write_now(lambda unit: create_project(unit, "p", "Sky questions", "d", settings, "lead"))
    console.write_now(lambda unit: fill_page(unit, project))
    console.write_now(
        lambda unit: write_guidelines(unit, project, "# Be kind\n\nPrefer the answer that helps.", "lead")
    )


def long_texts(repository: Repository, dataset: str = "d") -> None:
    """A prompt with answers as long as real ones, for looking at pages."""
    prompt = Prompt.make(
        (Message(role="user", content="Why is the sky blue, and why are sunsets red? I teach ten-year-olds."),),
        source="made",
    )
    texts = (
        "Sunlight holds **all colours**. Air scatters short waves more than long ones:\n\n1. Blue light is scattered about "
        "five times as much as red.\n2. So blue reaches your eye from every direction.\n\nAt sunset the light comes a long "
        "way through the air, and most of the blue is gone before it arrives.\n\n```\nshare ~ 1 / wavelength**4\n```",
        "The sky is blue because it reflects the sea, and sunsets are red because the sun gets cooler in the evening. "
        "Tell the children that the air is painted by the water below it!",
    )
    rows = [Response.make(prompt.id, text, policy="m") for text in texts]
    with repository.batch() as batch:
        batch.add_prompts(dataset, [prompt])
        batch.add_responses(dataset, rows)
        batch.add_tasks(dataset, [Task.make(prompt.id, (rows[0].id, rows[1].id))])
