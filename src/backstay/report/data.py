"""What a report is made of, read from run folders; a stage that was not run leaves its part empty."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from backstay.errors import IntegrityError
from backstay.records import Record, file_sha256
from backstay.report.settings import ReportSettings

Json = dict[str, Any]
STAGES = ("sft", "sample", "rate", "aggregate", "screen", "reward", "ppo", "evaluate", "redteam")
_COUNTED = ("prompts", "responses", "tasks", "judgments")


class StageMeta(Record):
    """What only the pipeline knows of a stage run; `seconds` is None where no time was taken."""

    seconds: float | None = None
    reused: bool = False


class ReportMeta(Record):
    """What stands in no run folder.

    `imported` says whether prompts and answers came from outside, which decides about showing texts. `simulated_gold`
    says that the gold rule is a program and not a person. `notes` are printed under the verdict: a named reason why a
    stage ended early, for example. `rater_kinds` gives the true kind by rater id, of simulated raters only; where it is
    missing, the name of a simulated rater tells its kind. `policy_stage` is the stage whose policy was evaluated.
    """

    title: str
    imported: bool
    simulated_gold: bool = True
    gold_rule: str = ""
    created_at: str = ""
    version: str = ""
    model: str = ""
    kl_budget_nats: float | None = None
    algorithm: str = "ppo"
    policy_stage: str = "ppo"
    stages: dict[str, StageMeta] = Field(default_factory=dict)
    rater_kinds: dict[str, str] = Field(default_factory=dict)
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    not_tested: tuple[str, ...] = ()


class StageRun(Record):
    """One line of the pipeline strip and of the lineage table."""

    name: str
    run: str = ""
    manifest_sha256: str = ""
    inputs: tuple[str, ...] = ()
    outputs: int = 0
    seconds: float | None = None
    reused: bool = False
    was_run: bool = True


class ReportData(Record):
    """Everything that build_report prints, as plain data."""

    meta: ReportMeta
    settings: ReportSettings = ReportSettings()
    stages: tuple[StageRun, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    raters: tuple[Json, ...] = ()
    trust: tuple[Json, ...] = ()
    aggregate: Json | None = None
    screen: Json | None = None
    sft: tuple[Json, ...] = ()
    reward: Json | None = None
    ppo: tuple[Json, ...] = ()
    dpo: tuple[Json, ...] = ()
    evaluation: Json | None = None
    redteam: Json | None = None

    @property
    def texts_shown(self) -> bool:
        """Whether prompts and answers may be printed."""
        wish = self.settings.show_texts
        return wish == "all" or (wish == "own" and not self.meta.imported)


def load_report_data(runs: Mapping[str, Path], meta: ReportMeta, settings: ReportSettings | None = None) -> ReportData:
    """Read the run folders of the stages that were run, by stage name; texts that may not be shown are dropped here.

    Raises IntegrityError naming file and line when a file does not hold JSON.
    """
    settings = settings or ReportSettings()
    data = ReportData(
        meta=meta,
        settings=settings,
        stages=tuple(_stage(name, runs.get(name), meta.stages.get(name, StageMeta())) for name in _order(runs)),
        counts=_counts(runs),
        raters=_rows(runs, "rate", "raters.jsonl"),
        trust=_rows(runs, "aggregate", "trust.jsonl"),
        aggregate=_object(runs, "aggregate", "aggregate.json"),
        screen=_object(runs, "screen", "screen.json"),
        sft=_rows(runs, "sft", "metrics.jsonl"),
        reward=_object(runs, "reward", "reward.json"),
        ppo=_rows(runs, "ppo", "metrics.jsonl"),
        dpo=_rows(runs, "dpo", "metrics.jsonl"),
        evaluation=_object(runs, "evaluate", "evaluation.json"),
        redteam=_object(runs, "redteam", "redteam.json"),
    )
    return data if data.texts_shown else without_texts(data)


def without_texts(data: ReportData) -> ReportData:
    """The same data with every sampled prompt and answer and every found phrase removed; figures stay."""
    changed: dict[str, Any] = {}
    if data.evaluation is not None:
        kept = ("prompt_id", "family", "gold_before", "gold_after")
        samples = [{key: row.get(key) for key in kept} for row in data.evaluation.get("samples", ())]
        changed["evaluation"] = {**data.evaluation, "samples": samples}
    triggers = (data.screen or {}).get("triggers")
    if data.screen is not None and isinstance(triggers, dict):
        silent = [{key: row[key] for key in row if key != "phrase"} for row in triggers.get("triggers", ())]
        changed["screen"] = {**data.screen, "triggers": {**triggers, "triggers": silent}}
    return data.model_copy(update=changed) if changed else data


def read_json(path: Path) -> Any:
    """The value in a JSON file; raises IntegrityError when it is not JSON."""
    return _parse(path.read_text(encoding="utf-8"), str(path))


def read_rows(path: Path) -> tuple[Json, ...]:
    """The objects of a JSON-lines file; raises IntegrityError with the line number when a line is not an object."""
    with path.open(encoding="utf-8") as file:
        return tuple(_parse_row(line, f"{path}:{number}") for number, line in enumerate(file, 1) if line.strip())


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise IntegrityError(f"{place} is not JSON: {error}", cure="run the stage again") from error


def _parse_row(line: str, place: str) -> Json:
    row = _parse(line, place)
    if not isinstance(row, dict):
        raise IntegrityError(f"{place} holds {type(row).__name__}, not an object", cure="run the stage again")
    return row


def _order(runs: Mapping[str, Path]) -> list[str]:
    """Every stage of the loop, with dpo in the place of ppo where it alone was run, then whatever else was."""
    instead = {"ppo": "dpo"} if "dpo" in runs and "ppo" not in runs else {}
    order = [instead.get(stage, stage) for stage in STAGES]
    return [*order, *sorted(set(runs) - set(order) - {"report"})]


def _file(runs: Mapping[str, Path], stage: str, name: str) -> Path | None:
    path = runs[stage] / name if stage in runs else None
    return path if path is not None and path.is_file() else None


def _object(runs: Mapping[str, Path], stage: str, name: str) -> Json | None:
    path = _file(runs, stage, name)
    if path is None:
        return None
    value = read_json(path)
    if not isinstance(value, dict):
        raise IntegrityError(f"{path} holds {type(value).__name__}, not an object", cure="run the stage again")
    return value


def _rows(runs: Mapping[str, Path], stage: str, name: str) -> tuple[Json, ...]:
    path = _file(runs, stage, name)
    return () if path is None else read_rows(path)


def _counts(runs: Mapping[str, Path]) -> dict[str, int]:
    paths = {name: _file(runs, "rate", f"{name}.jsonl") for name in _COUNTED}
    return {name: _count_lines(path) for name, path in paths.items() if path is not None}


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _stage(name: str, folder: Path | None, meta: StageMeta) -> StageRun:
    if folder is None:
        return StageRun(name=name, was_run=False)
    manifest = folder / "manifest.json"
    statement = read_json(manifest) if manifest.is_file() else {}
    predicate = _mapping(_mapping(statement).get("predicate"))
    subject = _mapping(statement).get("subject")
    seconds = meta.seconds if meta.seconds is not None else predicate.get("seconds")
    return StageRun(
        name=name,
        run=folder.name,
        manifest_sha256=file_sha256(manifest) if manifest.is_file() else "",
        inputs=tuple(
            str(_mapping(source).get("run", need)) for need, source in _mapping(predicate.get("inputs")).items()
        ),
        outputs=len(subject) if isinstance(subject, list) else 0,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        reused=meta.reused,
    )


def _mapping(value: Any) -> Json:
    """The value if it is an object, else an empty one: a manifest may be older than this code."""
    return value if isinstance(value, dict) else {}
