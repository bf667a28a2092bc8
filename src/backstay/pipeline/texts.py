"""The prompts and demonstrations that a recipe names: ours, a file, or the preferred responses of accepted pairs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import ConfigDict, Field, ValidationError, model_validator

from backstay.errors import ImportRefused, UsageError
from backstay.feedback import demo_demonstrations, demo_prompts
from backstay.feedback.importing.parsed import HELDOUT_SHARE, split_of
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.records import Demonstration, Message, Pair, Prompt, Record, Response, Split
from backstay.storage import read_records

MAX_PROBLEMS = 20
RowT = TypeVar("RowT", bound="PromptRow")
PREFERRED = 0.5


class PromptRow(Record):
    """One line of a prompts or demonstrations file: `prompt` (one user message) or `messages`, and what else is known.

    Without `split`, a tenth of all prompts is held out, by the hash of their messages.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    split: Split | None = None
    tags: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prompt is None) == (not self.messages):
            raise ValueError("give either `prompt` (a text) or `messages` (a list of {role, content})")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError(f"the last message must be the user's, seen {self.messages[-1].role!r}")
        return self

    def to_prompt(self, source: str) -> Prompt:
        """The record, with its content id."""
        messages = self.messages or (Message(role="user", content=self.prompt or ""),)
        prompt = Prompt.make(messages, source=source, tags=self.tags)
        return prompt.model_copy(update={"split": self.split or split_of(prompt.id, HELDOUT_SHARE)})


class DemonstrationRow(PromptRow):
    """A prompt row with the answer worth imitating."""

    text: Annotated[str, Field(min_length=1)]


def load_prompts(recipe: Recipe, project: Project) -> list[Prompt]:
    """The prompts to sample answers for; raises ImportRefused with line numbers for rows that do not fit."""
    if recipe.prompts == "demo":
        return demo_prompts()
    path = project.resolve(recipe.prompts)
    rows = [row.to_prompt(path.name) for row in _read(path, PromptRow)]
    return list({prompt.id: prompt for prompt in rows}.values())


def load_demonstrations(recipe: Recipe, project: Project, inputs: Mapping[str, Path]) -> list[Demonstration]:
    """What SFT imitates. With `preferred`, `inputs` must hold the runs of rate and screen."""
    if recipe.demonstrations == "demo":
        return demo_demonstrations()
    if recipe.demonstrations == "preferred":
        return preferred_responses(inputs["rate"], inputs["screen"])
    path = project.resolve(recipe.demonstrations)
    return [
        Demonstration(prompt=row.to_prompt(path.name), text=row.text, source=path.name)
        for row in _read(path, DemonstrationRow)
    ]


def preferred_responses(rate: Path, screen: Path) -> list[Demonstration]:
    """The likelier response of each accepted or released pair of a train prompt, each text once."""
    prompts = {prompt.id: prompt for prompt in read_records(rate / "prompts.jsonl", Prompt)}
    responses = {response.id: response for response in read_records(rate / "responses.jsonl", Response)}
    chosen: dict[str, Demonstration] = {}
    for pair in read_records(screen / "pairs.jsonl", Pair):
        prompt = prompts[pair.prompt_id]
        if pair.may_teach and pair.p_a != PREFERRED and prompt.split == "train":
            response = responses[pair.a if pair.p_a > PREFERRED else pair.b]
            demonstration = Demonstration(prompt=prompt, text=response.text, source=f"preferred in {pair.id}")
            chosen.setdefault(response.id, demonstration)
    return list(chosen.values())


def _read(path: Path, kind: type[RowT]) -> list[RowT]:
    if not path.is_file():
        raise UsageError(f"no file {path}", cure="correct the path in the recipe; it is relative to the project folder")
    rows: list[RowT] = []
    problems: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                rows.append(kind.model_validate_json(line))
            except ValidationError as error:
                problems.append(f"{path.name} line {number}: {_first_problem(error)}")
    if problems:
        shown = "\n  ".join(problems[:MAX_PROBLEMS])
        raise ImportRefused(f"{len(problems)} bad rows in {path}:\n  {shown}", problems=tuple(problems))
    if not rows:
        raise UsageError(f"{path} holds no rows")
    return rows


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
