"""Scores for the responses in any jsonl file, by the reward ensemble and the cost model of a finished run."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import SourceRow, read_rows, text_of
from backstay.learn import ModelSettings, RewardSettings
from backstay.learn.branch_states import BranchStates
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.reward import score_rows
from backstay.learn.scalar_models import RewardMember
from backstay.pipeline.runs import Run
from backstay.pipeline.stages.base_model import load_costs, load_ensemble
from backstay.pipeline.texts import PromptRow

BATCH = 64
KEPT_PROBLEMS, SHOWN_PROBLEMS = 1000, 20


class ScoreRow(PromptRow):
    """One line: `prompt` or `messages`, and the `response`; `finished` is false for one that was cut off."""

    response: str
    id: str | int | None = None
    finished: bool = True


@dataclass(frozen=True)
class LoadedReward:
    """The models of a run of reward on their base; `limit` is the longest response in tokens that they read."""

    model: LanguageModel
    members: Sequence[RewardMember]
    costs: Sequence[RewardMember]
    limit: int


@dataclass
class ScoreReport:
    """What became of a file's rows. Long responses are scored on their first tokens and counted as cut."""

    rows: int = 0
    scored: int = 0
    refused: int = 0
    cut: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Scorable:
    line: int
    id: str | int | None
    prompt: tuple[int, ...]
    response: tuple[int, ...]
    cut: bool


@dataclass(frozen=True)
class _Refused:
    line: int
    reason: str


def load_reward(run: Run) -> LoadedReward:
    """Models of a finished run of reward.

    Raises UsageError for another run or one of unknown settings, IntegrityError when the base is not that of the
    training.
    """
    if run.stage != "reward" or run.manifest is None:
        raise UsageError(f"{run.name} is no finished run of reward", cure="backstay run --until reward")
    settings = run.manifest.predicate["settings"]
    try:
        base = ModelSettings.model_validate_json(json.dumps(settings["model"]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"{run.name} has model settings that this version does not know: {'.'.join(map(str, first['loc']))}",
            cure="run the stage again with this version, or use the version that made it",
        ) from error
    model = load_model(base)
    limit = int(settings["reward"].get("max_response_tokens", RewardSettings().max_response_tokens))
    return LoadedReward(model, load_ensemble(model, run.path), load_costs(model, run.path), limit)


def score_file(
    reward: LoadedReward, path: Path, out: BinaryIO, *, allow_partial: bool, penalty: float, batch: int = BATCH
) -> ScoreReport:
    """Write one JSON line for each row of `path`, in order; memory stays below that of one batch.

    Raises ImportRefused before anything is written when rows do not fit, unless `allow_partial`; then such a row gets a
    line with its number and an `error`.
    """
    checked = _check(reward, path)
    if checked.refused and not (allow_partial and checked.rows > checked.refused):
        raise _refusal(path, checked)
    report = ScoreReport(problems=checked.problems)
    for group in _batches(_rows(reward, path), batch):
        lines = score_batch(reward, group, penalty)
        out.writelines(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n" for line in lines)
        _count(report, group)
    return report


def score_batch(reward: LoadedReward, group: Sequence[_Scorable | _Refused], penalty: float) -> list[dict[str, Any]]:
    """Lines of output for some rows, in their order."""
    good = [row for row in group if isinstance(row, _Scorable)]
    places = {prompt: index for index, prompt in enumerate(dict.fromkeys(row.prompt for row in good))}
    states = BranchStates(
        reward.model, list(places), [row.response for row in good], [places[row.prompt] for row in good]
    )
    every = range(len(good))
    scores = score_rows(states, reward.members, every).T.tolist() if good else []
    costs = score_rows(states, reward.costs, every).T.tolist() if good and reward.costs else [None] * len(good)
    found = iter(_line(*parts, penalty) for parts in zip(good, scores, costs, strict=True))
    return [
        next(found) if isinstance(row, _Scorable) else {"id": None, "line": row.line, "error": row.reason}
        for row in group
    ]


def _line(row: _Scorable, scores: Sequence[float], costs: Sequence[float] | None, penalty: float) -> dict[str, Any]:
    mean, spread = _moments(scores)
    line: dict[str, Any] = {"id": row.id, "line": row.line, "mean": mean, "spread": spread}
    line |= {"lower": _finite(mean, spread, penalty), "members": [_number(s) for s in scores], "cut": row.cut}
    if costs is not None:
        line["cost"], line["cost_spread"] = _moments(costs)
    return line


def _moments(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and population deviation; null when a member gave no number."""
    mean = sum(values) / len(values)
    return _number(mean), _number(math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _finite(mean: float | None, spread: float | None, penalty: float) -> float | None:
    return None if mean is None or spread is None else mean - penalty * spread


def _rows(reward: LoadedReward, path: Path) -> Iterator[_Scorable | _Refused]:
    return (_parse(reward, row) for row in read_rows(path, "jsonl", ReadLimits()))


def _parse(reward: LoadedReward, source: SourceRow) -> _Scorable | _Refused:
    if source.problem:
        return _Refused(source.line, source.problem)
    try:
        row = ScoreRow.model_validate(source.values)
        prompt = row.to_prompt("scored")
        for text in (row.response, *(message.content for message in prompt.messages)):
            text_of(text, "a text")
    except RowProblem as problem:
        return _Refused(source.line, str(problem))
    except ValidationError as error:
        return _Refused(source.line, _first(error))
    tokens = reward.model.prompt_tokens(prompt)
    if tokens is None:
        return _Refused(source.line, f"prompt is longer than {reward.model.max_prompt_tokens} tokens")
    whole = reward.model.response_tokens(row.response, finished=row.finished, limit=reward.limit + 1)
    return _Scorable(source.line, row.id, tuple(tokens), tuple(whole[: reward.limit]), len(whole) > reward.limit)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _check(reward: LoadedReward, path: Path) -> ScoreReport:
    """Read everything once before anything is written."""
    report = ScoreReport()
    for row in _rows(reward, path):
        _count(report, [row])
        if isinstance(row, _Refused) and len(report.problems) < KEPT_PROBLEMS:
            report.problems.append(f"line {row.line}: {row.reason}")
    if not report.rows:
        raise UsageError(f"{path} holds no rows", cure="write one JSON object a line: prompt or messages, and response")
    return report


def _count(report: ScoreReport, group: Iterable[_Scorable | _Refused]) -> None:
    for row in group:
        report.rows += 1
        report.refused += isinstance(row, _Refused)
        report.scored += isinstance(row, _Scorable)
        report.cut += isinstance(row, _Scorable) and row.cut


def _refusal(path: Path, checked: ScoreReport) -> ImportRefused:
    shown = "\n".join(f"  {problem}" for problem in checked.problems[:SHOWN_PROBLEMS])
    more = checked.refused - min(SHOWN_PROBLEMS, len(checked.problems))
    good = checked.rows - checked.refused
    return ImportRefused(
        f"{path}: {checked.refused} of {checked.rows} rows break the format; nothing was scored\n{shown}"
        + (f"\n  and {more} more" if more else ""),
        problems=tuple(checked.problems),
        cure=f"mend the file, or score the other {good} rows with --allow-partial" if good else "mend the file",
    )


def _batches(rows: Iterator[_Scorable | _Refused], size: int) -> Iterator[list[_Scorable | _Refused]]:
    while group := list(itertools.islice(rows, size)):
        yield group
