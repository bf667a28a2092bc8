"""The model card of a trained policy, from the manifests of the runs that it was made by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.errors import BackstayError
from backstay.learn.model_card import Card, Measured, Section, licence_of, model_card
from backstay.learn.models.load import model_folder
from backstay.learn.rewards.reward_address import without_secrets
from backstay.learn.trained_policies import TrainedPolicies
from backstay.pipeline.project import Project
from backstay.pipeline.runs import Run, list_runs, open_run
from backstay.records import Rater
from backstay.storage import read_records

MEASURES = {
    "gold": "gold rule (a program's score of the text)",
    "reward": "reward ensemble (what training maximised)",
    "refusal": "refusals where one is right",
    "over_refusal": "refusals where an answer is right",
    "flattery": "agreement with a user who is wrong",
    "finished": "answers that ended by themselves",
    "tokens": "tokens an answer",
}
TRAINING = (
    *("algorithm", "loss", "beta", "group", "updates", "episodes", "epochs", "learning_rate", "kl_coefficient"),
    *("kl_target", "kl_budget", "uncertainty_penalty", "combine", "shaping", "reward", "cost_threshold"),
    *("max_new_tokens", "temperature", "seed"),
)
"""Settings that a card names, where the stage has them; config.yaml of the run holds the rest."""
SIMULATED = (
    "The judgments are simulated: raters whose errors follow rules written down in advance. No person judged anything."
)
PARTLY_SIMULATED = (
    "{simulated} of {raters} raters are simulated: their errors follow rules written down in advance. "
    "The others are not marked as simulated."
)
REWARD_ONLY = "No gold rule exists for these prompts: the reward was trained on, so its rise is no evidence of quality."
GOLD_RULE = "The gold rule is a program that looks at the text of an answer; a higher score is not quality to a person."
ONE_SEED = "One training run; intervals cover the choice of held-out prompts and sampling, not another run of training."
UNMEASURED = "The policy was not measured: no finished run of evaluate compares it with the one before."


@dataclass(frozen=True)
class _Raters:
    """How many raters there were, and how many of them were simulations."""

    count: int
    simulated: int

    @property
    def label(self) -> str:
        """What stands behind their number."""
        if self.simulated in (0, self.count):
            return ", simulated" if self.simulated else ""
        return f", {self.simulated} of {self.count} simulated"

    @property
    def sentences(self) -> list[str]:
        """What is said of them among the limits."""
        if not self.simulated:
            return []
        partly = PARTLY_SIMULATED.format(simulated=self.simulated, raters=self.count)
        return [SIMULATED if self.simulated == self.count else partly]


def policy_card(project: Project, run: Run, trained: TrainedPolicies) -> str:
    """README.md for the merged policy of a finished run of sft, ppo or dpo."""
    ancestors = _ancestors(project, run)
    evaluation = _evaluation_of(project, run)
    raters = _raters(ancestors.get("rate"))
    card = Card(
        title=f"{trained.model.name}-{trained.after_name}",
        base=trained.model.name,
        base_digest=trained.model.digest,
        licence=_licence(trained.model.name),
        sections=[
            _training(run, trained),
            *_data(ancestors, raters),
            *_reward(ancestors),
            _lineage(run, ancestors),
        ],
        measured=_measured(evaluation),
        measured_on=_measured_on(evaluation),
        limits=_limits(evaluation, raters),
    )
    return model_card(card)


def _ancestors(project: Project, run: Run) -> dict[str, Run]:
    """The runs that a run read, and those that they read, by stage; what is gone is left out."""
    found: dict[str, Run] = {}
    waiting = [run]
    while waiting:
        inputs: Mapping[str, Any] = _predicate(waiting.pop()).get("inputs", {})
        for stage, named in inputs.items():
            path = project.runs / str(named["run"])
            if stage not in found and path.is_dir():
                found[stage] = open_run(path)
                waiting.append(found[stage])
    return found


def _predicate(run: Run) -> Mapping[str, Any]:
    return run.manifest.predicate if run.manifest else {}


def _summary(run: Run | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _predicate(run).get("summary", {}) if run else {}
    return found


def _licence(source: str) -> str:
    try:
        return licence_of(model_folder(source))
    except (BackstayError, OSError, ValueError):
        return ""  # The card says then that the base does not name it.


def _training(run: Run, trained: TrainedPolicies) -> Section:
    settings = _predicate(run).get("settings", {}).get(run.stage, {})
    summary = _summary(run)
    facts = {"stage": run.stage, "adapters": ", ".join(adapter.name for adapter in trained.after)}
    facts |= {name: _text(settings[name]) for name in TRAINING if settings.get(name) is not None}
    facts |= {f"result: {name}": _text(value) for name, value in summary.items() if not isinstance(value, dict | list)}
    text = []
    if isinstance(summary.get("kl_nats"), int | float):
        text.append(f"It is {summary['kl_nats']:.2f} nats a response away from the policy that training started from.")
    return Section("Training", facts, text)


def _data(ancestors: Mapping[str, Run], raters: _Raters | None) -> list[Section]:
    rate = ancestors.get("rate")
    if rate is None:
        return []
    summary, screen = _summary(rate), _summary(ancestors.get("screen"))
    shown = {"dataset": "data set", "prompts": "prompts", "responses": "responses", "judgments": "judgments"}
    facts = {title: _text(summary[name]) for name, title in shown.items() if name in summary}
    facts["raters"] = _text(summary.get("raters", "?")) + (raters.label if raters else ", kind unknown")
    for name, title in (("accepted", "pairs accepted"), ("quarantined", "pairs quarantined")):
        if name in screen:
            facts[title] = _text(screen[name])
    return [Section("Data", facts, raters.sentences if raters else [])]


def _reward(ancestors: Mapping[str, Run]) -> list[Section]:
    if "reward" not in ancestors:
        return []
    path = ancestors["reward"].path / "reward.json"
    report = json.loads(path.read_bytes()) if path.is_file() else {}
    held, summary = report.get("heldout", {}), _summary(ancestors["reward"])
    facts = {"members": _text(summary.get("members", "?"))}
    if {"accuracy", "low", "high", "pairs"} <= held.keys():
        interval = f"{held['accuracy']:.3f} [{held['low']:.3f}, {held['high']:.3f}]"
        facts["accuracy on held-out pairs"] = f"{interval} of {held['pairs']}"
    if isinstance(summary.get("ece"), int | float):
        facts["expected calibration error"] = f"{summary['ece']:.3f}"
    return [Section("Reward model", facts)]


def _lineage(run: Run, ancestors: Mapping[str, Run]) -> Section:
    runs = {run.stage: run, **ancestors}
    facts = {
        stage: f"{one.name}, outputs sha256 {one.manifest.digest if one.manifest else 'unknown'}"
        for stage, one in runs.items()
    }
    version = {"finished": run.finished} if run.finished else {}
    return Section("Lineage", facts | version, ["`backstay verify` checks these runs against their hashes."])


def _evaluation_of(project: Project, run: Run) -> dict[str, Any] | None:
    """The latest evaluation whose policy is this run's."""
    for found in reversed(list_runs(project)):
        if found.stage == "evaluate" and _is_of(found, run):
            path = found.path / "evaluation.json"
            report: dict[str, Any] | None = json.loads(path.read_bytes()) if path.is_file() else None
            return report
    return None


def _is_of(evaluate: Run, run: Run) -> bool:
    """Every evaluation reads sft for what was before; it is one of sft only where nothing else was evaluated."""
    inputs: Mapping[str, Any] = _predicate(evaluate).get("inputs", {})
    evaluated = run.stage != "sft" or not {"ppo", "dpo"} & inputs.keys()
    return evaluated and inputs.get(run.stage, {}).get("run") == run.name


def _measured(evaluation: dict[str, Any] | None) -> Sequence[Measured]:
    if evaluation is None:
        return []
    rows = []
    for name, title in MEASURES.items():
        sides = [_triple(evaluation.get(side, {}).get(name)) for side in ("before", "after", "difference")]
        if any(side is not None for side in sides):
            rows.append(Measured(title, *sides))
    kl = _triple(evaluation.get("kl_nats"))
    win = _triple(evaluation.get("win_rate"))
    return [
        *rows,
        *([Measured("KL to the policy before, nats a response", None, kl, None)] if kl else []),
        *([Measured("share of prompts on which it beats the policy before", None, win, None)] if win else []),
    ]


def _triple(metric: Any) -> tuple[float, float, float] | None:
    if not isinstance(metric, dict) or not {"mean", "low", "high"} <= metric.keys():
        return None
    if any(metric[name] is None for name in ("mean", "low", "high")):
        return None
    return float(metric["mean"]), float(metric["low"]), float(metric["high"])


def _measured_on(evaluation: dict[str, Any] | None) -> str:
    if evaluation is None:
        return ""
    return (
        f"{evaluation['prompts']} held-out prompts, {evaluation['responses']['after']} answers a side; "
        f"{evaluation['level']:.0%} intervals over prompts."
    )


def _limits(evaluation: dict[str, Any] | None, raters: _Raters | None) -> list[str]:
    found = raters.sentences if raters else []
    if evaluation is None:
        return [*found, UNMEASURED]
    return [*found, GOLD_RULE if evaluation.get("gold_rule") else REWARD_ONLY, ONE_SEED]


def _raters(rate: Run | None) -> _Raters | None:
    """The raters of a run; None where they are not there to be asked."""
    path = rate.path / "raters.jsonl" if rate else None
    kinds = [rater.simulated for rater in read_records(path, Rater)] if path and path.is_file() else []
    return _Raters(len(kinds), sum(kinds)) if kinds else None


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else without_secrets(str(value))
