"""A conversation with a policy before and after training, side by side in a terminal."""

import contextlib
import importlib
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from backstay.errors import UsageError
from backstay.learn.decoding import sample
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.trained_policies import FinishedRun, load_trained
from backstay.records import Message, Prompt

QUIT = "/quit"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SEPARATORS = frozenset({"Zl", "Zp"})


@dataclass(frozen=True)
class Answer:
    """What one side said; `finished` is false when the length limit cut it off."""

    text: str
    finished: bool


@dataclass
class Side:
    """One policy with its own course of the conversation."""

    title: str
    adapters: tuple[Adapter, ...]
    turns: list[Message] = field(default_factory=list)


def chat(
    project: Any,  # noqa: ARG001  the run knows where it lies; commands hand over both
    run: FinishedRun,
    console: Console,
    *,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    source: TextIO | None = None,
) -> None:
    """Read lines from `source` (standard input) and answer each from both policies until /quit or the end of input.

    Temperature and length limit are those of the training unless given. Each side keeps its own history. Ctrl-C at the
    prompt ends the conversation; during an answer it drops that turn. Raises UsageError for a run that has no policy.
    """
    if temperature is not None and temperature <= 0:
        raise UsageError(f"temperature is {temperature}", cure="give a number above 0")
    trained = load_trained(run)
    conversation = Conversation(
        trained.model,
        (Side(f"before: {trained.before_name}", trained.before), Side(f"after: {trained.after_name}", trained.after)),
        trained.temperature if temperature is None else temperature,
        max_new_tokens or trained.max_new_tokens,
        seed,
    )
    source = source or sys.stdin
    live = source.isatty() and console.is_terminal
    console.print(Text(_greeting(run.path.name, conversation, live)))
    if trained.model.decoder.notice:
        console.print(Text(f"note: {trained.model.decoder.notice}", style="dim"))
    for line in _lines(source, console, live):
        try:
            _turn(conversation, line, console, live)
        except KeyboardInterrupt:
            if not live:
                raise
            console.print(Text("stopped; this turn is forgotten", style="dim"))


class Conversation:
    """Two sides that hear the same user. Both draw the same random numbers, so they differ by their weights alone."""

    def __init__(
        self, model: LanguageModel, sides: tuple[Side, Side], temperature: float, max_new_tokens: int, seed: int
    ) -> None:
        self.model = model
        self.sides = sides
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.seed = seed
        self.rounds = 0

    def ask(self, text: str, on_text: Callable[[int, str], None] | None = None) -> tuple[Answer, Answer]:
        """Both answers to one more user turn; `on_text(side, text)` is told the text so far as it grows.

        Histories grow only when both sides have answered. Raises UsageError when the turn alone is over the limit.
        """
        answers = []
        for index, side in enumerate(self.sides):
            told = None if on_text is None else (lambda said, index=index: on_text(index, said))
            answers.append(self._answer(side, text, told))
        for side, answer in zip(self.sides, answers, strict=True):
            side.turns += [Message(role="user", content=text), Message(role="assistant", content=answer.text)]
        self.rounds += 1
        return answers[0], answers[1]

    def forgotten(self, side: Side, text: str) -> bool:
        """Whether the oldest turns of a side no longer fit beside this one."""
        turns = [*side.turns, Message(role="user", content=text)]
        return len(self.model.encode(self.model.prompt_text(turns))) > self.model.max_prompt_tokens

    def _answer(self, side: Side, text: str, told: Callable[[str], None] | None) -> Answer:
        prompt = Prompt.make((*side.turns, Message(role="user", content=text)), source="chat")
        tokens = self.model.prompt_tokens(prompt)
        if tokens is None:
            raise UsageError(
                f"that line alone is over {self.model.max_prompt_tokens} tokens", cure="say it in fewer words"
            )
        said: list[int] = []

        def hear(token: int) -> None:
            said.append(token)
            if told is not None:
                told(self.model.decode(said))

        rollout = sample(
            self.model,
            [tokens],
            adapters=side.adapters,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=torch.Generator().manual_seed(self.seed + self.rounds),
            on_token=hear,
        )
        return Answer(self.model.decode(said), bool(rollout.finished_B[0]))


def visible(text: str) -> str:
    """Text that cannot steer a terminal.

    Control characters but newline and tab, line separators, lone surrogates, and marks that turn the reading direction
    become the replacement character.
    """
    return "".join("\ufffd" if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    kind = unicodedata.category(char)
    return (kind == "Cc" and char not in "\n\t") or kind == "Cs" or kind in _SEPARATORS or char in _BIDI


def _greeting(name: str, conversation: Conversation, live: bool) -> str:
    limits = f"temperature {conversation.temperature:g}, at most {conversation.max_new_tokens} tokens an answer"
    return f"{name}: {limits}" + (f". {QUIT} or Ctrl-D ends." if live else "")


def _lines(source: TextIO, console: Console, live: bool) -> Iterator[str]:
    """Lines that say something, until /quit, the end of input, or Ctrl-C at the prompt."""
    if live:
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")  # Its import gives input() line editing and history.
    while True:
        try:
            line = input("you> ") if live else source.readline()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        except UnicodeDecodeError as error:
            raise UsageError(f"the input is not UTF-8 at byte {error.start}", cure="convert it to UTF-8") from error
        if not live and not line:
            return
        if line.strip() == QUIT:
            return
        if line.strip():
            yield line.strip()


def _turn(conversation: Conversation, line: str, console: Console, live: bool) -> None:
    if not live:
        console.print(Text(f"you> {visible(line)}"))
    titles = [side.title for side in conversation.sides]
    forgotten = [side.title for side in conversation.sides if conversation.forgotten(side, line)]
    try:
        answers = _ask_live(conversation, line, console, titles) if live else conversation.ask(line)
    except UsageError as error:
        console.print(Text(str(error)))
        return
    texts = [answer.text + ("" if answer.finished else " [cut at the length limit]") for answer in answers]
    console.print(_side_by_side(titles, texts))
    if forgotten:
        console.print(Text(f"the oldest turns no longer fit and were left out ({', '.join(forgotten)})", style="dim"))


def _ask_live(conversation: Conversation, line: str, console: Console, titles: list[str]) -> tuple[Answer, Answer]:
    """Both answers, shown as their tokens come."""
    texts = ["", ""]
    with Live(_side_by_side(titles, texts), console=console, auto_refresh=False, transient=True) as shown:

        def on_text(side: int, said: str) -> None:
            texts[side] = said
            shown.update(_side_by_side(titles, texts), refresh=True)

        return conversation.ask(line, on_text)


def _side_by_side(titles: list[str], texts: list[str]) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in texts:
        grid.add_column(ratio=1)
    pairs = zip(titles, texts, strict=True)
    grid.add_row(*(Panel(Text(visible(text)), title=Text(title), title_align="left") for title, text in pairs))
    return grid
