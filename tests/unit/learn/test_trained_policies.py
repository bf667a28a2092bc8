import json
import shutil
from pathlib import Path

import pytest
from trained_runs import DPO, PPO, SFT, run_of, write_trained_runs

from backstay.errors import IntegrityError, UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.trained_policies import load_trained
from backstay.pipeline.manifest import MANIFEST
from backstay.pipeline.project import Project


@pytest.fixture
def project(tmp_path: Path, model: LanguageModel) -> Project:
    return write_trained_runs(tmp_path / "p", model)


def test_ppo_goes_from_the_reference_to_the_policy_on_top_of_it(project: Project) -> None:
    trained = load_trained(run_of(project, PPO))
    assert [a.name for a in trained.before] == ["sft"]
    assert [a.name for a in trained.after] == ["sft", "policy"]
    assert (trained.before_name, trained.after_name) == ("sft", "ppo")
    assert (trained.max_new_tokens, trained.temperature) == (7, 0.9)
    assert not any(p.requires_grad for a in trained.after for p in a.parameters())


def test_dpo_goes_from_the_reference_too(project: Project) -> None:
    trained = load_trained(run_of(project, DPO))
    assert [len(side) for side in (trained.before, trained.after)] == [1, 2]
    assert (trained.before_name, trained.after_name) == ("sft", "dpo")
    assert (trained.max_new_tokens, trained.temperature) == (8, 0.6)


def test_sft_goes_from_the_base(project: Project) -> None:
    trained = load_trained(run_of(project, SFT))
    assert trained.before == () and [a.name for a in trained.after] == ["sft"]
    assert (trained.before_name, trained.after_name) == ("base", "sft")


def test_an_unfinished_run_and_one_of_another_stage_are_refused(project: Project) -> None:
    (project.runs / PPO / MANIFEST).unlink()
    with pytest.raises(UsageError, match="ppo-000000000002 is unfinished"):
        load_trained(run_of(project, PPO))
    shutil.copytree(project.runs / SFT, project.runs / "reward-000000000003")
    with pytest.raises(UsageError, match="a run of reward"):
        load_trained(run_of(project, "reward-000000000003"))


def test_a_ppo_run_without_its_sft_run_is_refused(project: Project) -> None:
    shutil.rmtree(project.runs / SFT)
    with pytest.raises(UsageError, match="holds no model/"):
        load_trained(run_of(project, PPO))


def test_another_base_than_that_of_the_training_is_an_integrity_error(project: Project) -> None:
    config = project.runs / SFT / "model" / "backstay.json"
    changed = json.loads(config.read_text())
    changed["base_digest"] = "0" * 64
    config.write_text(json.dumps(changed))
    with pytest.raises(IntegrityError, match="another base than 'tiny'"):
        load_trained(run_of(project, PPO))


def test_settings_of_another_version_are_named(project: Project) -> None:
    manifest = project.runs / SFT / MANIFEST
    statement = json.loads(manifest.read_text())
    statement["predicate"]["settings"]["model"]["flux"] = 1
    manifest.write_text(json.dumps(statement))
    with pytest.raises(UsageError, match="does not know: flux"):
        load_trained(run_of(project, SFT))
