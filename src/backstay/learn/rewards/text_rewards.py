"""Rewards that read texts: what they share, and the one that is a Python function of the operator."""

import math
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from backstay.errors import UsageError
from backstay.learn.batches import Dialogues
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.reward_code import RewardFunction, load_function

__all__ = ["RewardFailure", "TextReward", "TextScorer", "Texts", "finite_scores", "load_function", "texts_of", "within"]

T = TypeVar("T")
MESSAGE_CHARACTERS = 300


class RewardFailure(Exception):  # RewardFailure is what happened; it never leaves this package
    """A call that gave no scores; `reason` is one word of a fixed list, for counting."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = " ".join(message.split())[:MESSAGE_CHARACTERS]


@dataclass(frozen=True)
class Texts:
    """Rows as texts: prompts as the caller gave them or as the model read them, responses, whether each one ended."""

    prompts: list[str]
    responses: list[str]
    finished: list[bool]

    def part(self, rows: slice) -> "Texts":
        """Some rows."""
        return Texts(self.prompts[rows], self.responses[rows], self.finished[rows])


def texts_of(model: LanguageModel, dialogues: Dialogues, known: Mapping[tuple[int, ...], str]) -> Texts:
    """Decode a batch without its padding.

    A prompt that is not `known` is decoded with its control tokens, so that turns can be told apart.
    """
    width, texts = dialogues.prompt_width, Texts([], [], [])
    lengths = zip(dialogues.prompt_B.tolist(), dialogues.response_B.tolist(), strict=True)
    for row, (before, after) in zip(dialogues.tokens_B_T.tolist(), lengths, strict=True):
        prompt, response = tuple(row[width - before : width]), row[width : width + after]
        written = known.get(prompt)
        rendered = model.tokenizer.decode(list(prompt), skip_special_tokens=False) if written is None else written
        texts.prompts.append(rendered)
        texts.responses.append(model.decode(response))
        texts.finished.append(bool(response) and response[-1] in model.stop_ids)
    return texts


class TextScorer(ABC):
    """A `Scorer` whose scores come from texts, and may fail to come.

    A response without a finite score gets NaN and is counted in `failures` by reason, so that the counts add up to the
    NaNs given; `last_failure` is the latest message. After `max_failures` calls in a row that gave no score at all,
    UsageError ends the training, since nothing is learned from any longer.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        batch_size: int,
        max_failures: int,
        prompt_texts: Mapping[tuple[int, ...], str] | None = None,
    ) -> None:
        if batch_size < 1 or max_failures < 1:
            raise UsageError(f"batch_size ({batch_size}) and max_failures ({max_failures}) must be at least 1")
        self.model, self.batch_size, self.max_failures = model, batch_size, max_failures
        self.prompt_texts = prompt_texts or {}
        self.failures: Counter[str] = Counter()
        self.last_failure = ""
        self.failed_in_a_row = 0

    @property
    @abstractmethod
    def source(self) -> str:
        """What gives the scores, for messages."""

    @abstractmethod
    def ask(self, texts: Texts) -> list[float]:
        """Scores of some rows, NaN where one is no finite number; raises RewardFailure."""

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:  # noqa: ARG002  Scorer
        """Scores `[B]`; NaN where there is none."""
        texts = texts_of(self.model, dialogues, self.prompt_texts)
        return torch.tensor(self.score(texts), dtype=branch_B_T_D.dtype, device=dialogues.tokens_B_T.device)

    def score(self, texts: Texts) -> list[float]:
        """Scores of texts, in calls of at most `batch_size` rows, in order."""
        scores: list[float] = []
        for start in range(0, len(texts.responses), self.batch_size):
            scores += self._checked(texts.part(slice(start, start + self.batch_size)))
        return scores

    def _checked(self, texts: Texts) -> list[float]:
        rows = len(texts.responses)
        try:
            scores = self.ask(texts)
        except RewardFailure as failure:
            self.failures[failure.reason] += rows
            return self._without_scores(failure.message, rows)
        missing = sum(map(math.isnan, scores))
        if missing:
            self.failures["not_finite"] += missing
            self.last_failure = f"{missing} of {rows} scores were no finite number"
        if missing == rows:
            return self._without_scores(self.last_failure, rows)
        self.failed_in_a_row = 0
        return scores

    def _without_scores(self, message: str, rows: int) -> list[float]:
        self.last_failure = message
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= self.max_failures:
            raise UsageError(
                f"{self.source} gave no score {self.failed_in_a_row} times in a row; the last time: {message}",
                cure="mend it, then run the same command again: training goes on from its checkpoint",
            )
        return [math.nan] * rows


def finite_scores(given: Any, rows: int) -> list[float]:
    """What a reward gave as `rows` numbers, NaN where an item is none; raises RewardFailure for the wrong shape.

    Lists, tuples and arrays are taken. Anything else that can be iterated over is not: it may never end.
    """
    items = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(items, list | tuple):
        raise RewardFailure("wrong_type", f"scores must be a list of numbers, not {type(given).__name__}")
    if len(items) != rows:
        raise RewardFailure("wrong_length", f"{len(items)} scores for {rows} responses")
    return [_finite(item) for item in items]


def _finite(item: Any) -> float:
    if isinstance(item, bool | str | bytes):
        return math.nan
    try:
        number = float(item)
    except Exception:  # noqa: BLE001  the item is foreign: whatever its conversion raises, it is no number
        return math.nan
    # Scores are float32: beyond its range a number becomes infinite there.
    return number if abs(number) <= torch.finfo(torch.float32).max else math.nan


class TextReward(TextScorer):
    """A reward that is a Python function: `function(prompts, responses) -> scores`.

    It runs in a thread of this process. One that takes longer than `timeout_s` is given up on: its rows get NaN and
    the thread is left behind, for Python cannot end it. `max_failures` threads left behind and still at work end the
    training. Code that holds the interpreter lock and never lets go cannot be timed out at all; such a reward belongs
    behind HTTP.
    """

    def __init__(
        self,
        model: LanguageModel,
        function: RewardFunction,
        *,
        timeout_s: float = 60.0,
        batch_size: int = 1024,
        max_failures: int = 3,
        prompt_texts: Mapping[tuple[int, ...], str] | None = None,
    ) -> None:
        super().__init__(model, batch_size=batch_size, max_failures=max_failures, prompt_texts=prompt_texts)
        self.function, self.timeout_s = function, timeout_s
        self._left_behind: list[threading.Thread] = []

    @property
    def source(self) -> str:
        """The function's name."""
        return f"the reward function {getattr(self.function, '__name__', type(self.function).__name__)}"

    def ask(self, texts: Texts) -> list[float]:
        """Call the function; what it raises becomes a failure."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= self.max_failures:
            raise UsageError(
                f"{len(self._left_behind)} calls of {self.source} hang, each past {self.timeout_s:g} s",
                cure="mend the function, or raise the time it may take",
            )
        prompts, responses = list(texts.prompts), list(texts.responses)
        rows = len(responses)
        return within(self.timeout_s, lambda: finite_scores(self.function(prompts, responses), rows), self._left_behind)


def within(timeout_s: float, call: Callable[[], T], left_behind: list[threading.Thread]) -> T:
    """The result of `call`, made in a daemon thread; raises RewardFailure when it raises or takes too long.

    A thread that is still at work then is appended to `left_behind`.
    """
    results: list[T] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001  sys.exit() in a reward must not end its thread silently
            problems.append(error)

    thread = threading.Thread(target=work, name="backstay-reward", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if results:
        return results[0]
    if not problems:
        left_behind.append(thread)
        raise RewardFailure("timeout", f"no answer within {timeout_s:g} s")
    problem = problems[0]
    if isinstance(problem, RewardFailure):
        raise problem
    raise RewardFailure("raised", f"{type(problem).__name__}: {problem}") from problem
