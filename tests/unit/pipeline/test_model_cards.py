import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reward_runs import EVALUATE, PPO, RATE, REWARD, SFT, write_reward_runs
from tiny_loop import load_tiny
from trained_runs import run_of

from backstay.learn.models.language_model import LanguageModel
from backstay.learn.trained_policies import load_trained
from backstay.pipeline.manifest import read_manifest, write_manifest
from backstay.pipeline.model_cards import policy_card
from backstay.pipeline.project import Project
from backstay.records import Rater
from backstay.storage import write_records


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_tiny()


def evaluated(project: Project, name: str = EVALUATE, *, of: str = PPO, gold: bool = True, mean: float = 0.75) -> None:
    """A finished run of evaluate with a few figures."""
    metric = {"mean": mean, "low": 0.5, "high": 1.0, "count": 20}
    none = {"mean": None, "low": None, "high": None, "count": 0}
    report: dict[str, Any] = {
        "prompts": 10,
        "responses": {"before": 20, "after": 20},
        "level": 0.95,
        "gold_rule": gold,
        "before": {"gold": metric if gold else None, "reward": metric, "refusal": none},
        "after": {"gold": metric if gold else None, "reward": metric, "refusal": none},
        "difference": {"gold": None, "reward": metric},
        "kl_nats": metric,
        "win_rate": None,
    }
    folder = project.runs / name
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
    read = {stage: {"run": run, "sha256": "0"} for stage, run in (("sft", SFT), (of.partition("-")[0], of))}
    predicate = {"stage": "evaluate", "key": "k" * 64, "inputs": read, "settings": {}, "summary": {}}
    write_manifest(folder, predicate | {"finished": f"2026-01-02T00:00:0{name[-1]}.000+00:00"})


def card(project: Project, name: str = PPO) -> str:
    run = run_of(project, name)
    return policy_card(project, run, load_trained(run))


def test_a_card_says_data_training_lineage_and_limits(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    write_records(project.runs / RATE / "raters.jsonl", [Rater(id="r1", display_name="r", simulated=True)])
    text = card(project)
    assert "| judgments | 96 |" in text and "| raters | 5, simulated |" in text
    assert "The judgments are simulated" in text and "The policy was not measured" in text
    assert "| stage | ppo |" in text and "| kl_budget | 8 |" in text and "| seed | 4 |" in text
    assert "It is 2.50 nats a response away" in text and "| members | 3 |" in text
    for name in (PPO, SFT, REWARD, RATE):
        manifest = read_manifest(project.runs / name)
        assert manifest and f"| {name.partition('-')[0]} | {name}, outputs sha256 {manifest.digest} |" in text


def test_figures_come_from_the_latest_evaluation_of_this_policy(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    evaluated(project, "evaluate-000000000005", mean=0.25)
    evaluated(project, "evaluate-000000000006", mean=0.75)
    evaluated(project, "evaluate-000000000007", of="ppo-0000000000ff", mean=0.99)
    text = card(project)
    assert "| reward ensemble (what training maximised) | 0.750 [0.500, 1.000] |" in text
    assert "0.250 [" not in text and "0.990" not in text and "refusals" not in text
    assert "10 held-out prompts, 20 answers a side; 95% intervals" in text
    assert "The gold rule is a program" in text and "One training run" in text


def test_without_a_gold_rule_reward_is_called_no_evidence(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    evaluated(project, gold=False)
    assert "no evidence of quality" in card(project) and "gold rule (" not in card(project)


def test_an_evaluation_of_ppo_is_none_of_sft(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    evaluated(project)
    text = card(project, SFT)
    assert "The policy was not measured" in text and "## Data" not in text and "| stage | sft |" in text


def test_runs_that_are_gone_leave_gaps_not_errors(tmp_path: Path, model: LanguageModel) -> None:
    import shutil

    project = write_reward_runs(tmp_path / "p", model)
    shutil.rmtree(project.runs / RATE)
    shutil.rmtree(project.runs / REWARD)
    text = card(project)
    assert "## Data" not in text and "## Reward model" not in text and "## Lineage" in text


def test_people_are_not_called_simulated(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    assert "| raters | 5, kind unknown |" in card(project)
    write_records(project.runs / RATE / "raters.jsonl", [Rater(id="r1", display_name="r")])
    text = card(project)
    assert "| raters | 5 |" in text and "simulated" not in text


def test_people_beside_simulations_are_not_denied(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    raters = [Rater(id=f"r{i}", display_name="r", simulated=i < 2) for i in range(5)]
    write_records(project.runs / RATE / "raters.jsonl", raters)
    text = card(project)
    assert "| raters | 5, 2 of 5 simulated |" in text and "2 of 5 raters are simulated" in text
    assert "No person judged anything" not in text


def test_a_key_in_the_address_of_a_reward_stays_out_of_the_card(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model, reward="https://example.org/score?key=secret")
    text = card(project)
    assert "https://example.org/score" in text and "secret" not in text
