import io
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from tiny_loop import user
from trained_runs import PPO, SFT, run_of, write_trained_runs

from backstay.cli.main import cli
from backstay.errors import UsageError
from backstay.learn import chat as chat_module
from backstay.learn.chat import Conversation, Side, chat, visible
from backstay.learn.decoding import Rollout, sample
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.trained_policies import TrainedPolicies, load_trained
from backstay.pipeline.project import Project
from backstay.records import Message, Prompt


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, model: LanguageModel) -> Project:
    return write_trained_runs(tmp_path_factory.mktemp("chat") / "p", model)


@pytest.fixture(scope="module")
def trained(project: Project) -> TrainedPolicies:
    return load_trained(run_of(project, PPO))


class Terminal(io.StringIO):
    """Standard input that a person types into."""

    def isatty(self) -> bool:
        return True


def conversation(trained: TrainedPolicies, *, tokens: int = 6) -> Conversation:
    sides = (Side("before", trained.before), Side("after", trained.after))
    return Conversation(trained.model, sides, 1.0, tokens, seed=4)


def said(project: Project, text: str, **options: Any) -> str:
    shown = io.StringIO()
    chat(project, run_of(project, PPO), Console(file=shown, width=120), source=io.StringIO(text), **options)
    return shown.getvalue()


def test_both_sides_answer_as_sampling_with_their_adapters_does(trained: TrainedPolicies) -> None:
    before, after = conversation(trained).ask("how is the dog ?")
    prompt = trained.model.prompt_tokens(user("how is the dog ?"))
    assert prompt is not None
    for answer, adapters in ((before, trained.before), (after, trained.after)):
        rollout = sample(
            trained.model,
            [prompt],
            adapters=adapters,
            max_new_tokens=6,
            temperature=1.0,
            generator=torch.Generator().manual_seed(4),
        )
        tokens = rollout.dialogues.responses_B_R[0, : int(rollout.dialogues.response_B[0])].tolist()
        assert answer.text == trained.model.decode(tokens)
        assert answer.finished == bool(rollout.finished_B[0])
    assert before != after


def test_each_side_remembers_its_own_answers(trained: TrainedPolicies, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[int]] = []

    def listen(model: LanguageModel, prompts: list[list[int]], **rest: Any) -> Rollout:
        heard.extend(prompts)
        return sample(model, prompts, **rest)

    monkeypatch.setattr(chat_module, "sample", listen)
    talk = conversation(trained)
    first = talk.ask("how is the dog ?")
    talk.ask("why ?")
    for side, answer in enumerate(first):
        turns = (("user", "how is the dog ?"), ("assistant", answer.text), ("user", "why ?"))
        whole = Prompt.make(tuple(Message(role=r, content=c) for r, c in turns), source="test")
        assert heard[2 + side] == trained.model.prompt_tokens(whole)


def test_text_grows_token_by_token_and_ends_as_the_answer(trained: TrainedPolicies) -> None:
    grown: tuple[list[str], list[str]] = ([], [])
    answers = conversation(trained).ask("is tea good ?", lambda side, text: grown[side].append(text))
    for texts, answer in zip(grown, answers, strict=True):
        assert texts[-1] == answer.text
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


def test_a_turn_that_fails_on_one_side_is_remembered_by_none(trained: TrainedPolicies) -> None:
    talk = conversation(trained)
    with pytest.raises(UsageError, match="that line alone is over 160 tokens"):
        talk.ask("dog " * 200)

    def interrupt(side: int, _text: str) -> None:
        if side == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        talk.ask("how is the dog ?", interrupt)
    assert [side.turns for side in talk.sides] == [[], []] and talk.rounds == 0


def test_piped_lines_are_answered_side_by_side_until_quit(project: Project) -> None:
    shown = said(project, "how is the dog ?\n\nand the cat ?\n/quit\nnever heard\n", max_new_tokens=3)
    assert shown.count("before: sft") == shown.count("after: ppo") == 2
    assert "you> how is the dog ?" in shown and "you> and the cat ?" in shown
    assert "never heard" not in shown
    assert "temperature 0.9, at most 3 tokens an answer" in shown


def test_the_end_of_input_ends_it_and_long_lines_do_not(project: Project) -> None:
    shown = said(project, "dog " * 200 + "\nhow is the dog ?")
    assert "that line alone is over" in shown and shown.count("after: ppo") == 1


def test_old_turns_that_no_longer_fit_are_told_of(project: Project) -> None:
    shown = said(project, ("dog " * 100 + "\n") * 2, max_new_tokens=2)
    assert shown.count("the oldest turns no longer fit and were left out (before: sft, after: ppo)") == 1


def test_a_temperature_of_zero_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="temperature is 0"):
        said(project, "hi\n", temperature=0.0)


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\x08", "\u202e", "\u2066", "\u2028", "\x00", "\ud800"]
)
def test_nothing_that_steers_a_terminal_comes_through(hostile: str) -> None:
    shown = io.StringIO()
    Console(file=shown, width=80).print(chat_module._side_by_side(["a", "b"], [f"x{hostile}y [red]z[/red]", "ok"]))
    assert not any(bad in shown.getvalue() for bad in "\x1b\x07\x9b\r\x08\u202e\u2066\u2028\x00\ud800")
    assert "[red]z[/red]" in shown.getvalue()
    assert visible("two\nlines\tand üñî 👩\u200d🔬") == "two\nlines\tand üñî 👩\u200d🔬"


def test_ctrl_c_at_the_prompt_ends_cleanly(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["how is the dog ?"])

    def answer(_prompt: str) -> str:
        for line in lines:
            return line
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", answer)
    shown = io.StringIO()
    console = Console(file=shown, width=100, force_terminal=True, color_system=None)
    chat(project, run_of(project, SFT), console, max_new_tokens=3, source=Terminal())
    assert "Ctrl-D ends" in shown.getvalue() and "before: base" in shown.getvalue()


def test_ctrl_c_during_an_answer_forgets_the_turn_and_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["one", "two", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines))
    real, calls = Conversation.ask, list[Any]()

    def ask(self: Conversation, *rest: Any) -> Any:
        calls.append(rest)
        if len(calls) == 1:
            raise KeyboardInterrupt
        assert self.rounds == 0
        return real(self, *rest)

    monkeypatch.setattr(Conversation, "ask", ask)
    shown = io.StringIO()
    console = Console(file=shown, width=100, force_terminal=True, color_system=None)
    chat(project, run_of(project, PPO), console, max_new_tokens=3, source=Terminal())
    assert "stopped; this turn is forgotten" in shown.getvalue() and len(calls) == 2


@pytest.mark.integration
def test_the_command_takes_a_pipe_and_names_what_is_missing(project: Project, tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["chat", "--project", str(project.root), "--max-new-tokens", "3"], input="hi\n")
    assert found.exit_code == 0 and "after: ppo" in found.output
    empty = Project.create(tmp_path / "empty", "name: empty\n")
    with pytest.raises(UsageError, match="no run 'ppo'"):
        CliRunner().invoke(cli, ["chat", "--project", str(empty.root)], catch_exceptions=False)
