import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tiny_loop import load_tiny
from trained_runs import PPO, SFT, run_of, write_trained_runs

from backstay.errors import GateRefused, IntegrityError, UsageError
from backstay.learn.trained_policies import load_trained
from backstay.pipeline import served_policy
from backstay.pipeline.manifest import broken_outputs
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.release import release_run
from backstay.pipeline.served_policy import Trust, load_served_policy
from backstay.storage.keys import fingerprint, signing_key
from backstay.storage.release import ModelFolders, check_files, open_release

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "cache"))
    return write_trained_runs(tmp_path / "p", load_tiny())


def no_recipe() -> Recipe:
    raise AssertionError("a run has its own settings")


def load(project: Project, trust: Trust | None, run: str = PPO) -> served_policy.ServedPolicy:
    return load_served_policy(project, run, no_recipe, lambda _: None, trust=trust)


def with_gates(project: Project, run: str, gates: Any) -> None:
    path = project.runs / run / "manifest.json"
    statement = json.loads(path.read_text())
    statement["predicate"]["gates"] = gates
    path.write_text(json.dumps(statement))


def test_a_release_names_all_that_the_model_is_made_of(project: Project, tmp_path: Path) -> None:
    run = run_of(project, PPO)
    with_gates(project, SFT, {"length": {"passed": True, "value": 3}})
    release_run(run, KEY, valid_days=1.5, now=datetime(2026, 1, 1, tzinfo=UTC))
    public = {fingerprint(KEY.public_key()): KEY.public_key()}
    found = open_release(run.path, public, now=datetime(2026, 1, 2, tzinfo=UTC))
    assert found.release.expires_at == "2026-01-02T12:00:00Z" and found.runs == {SFT, PPO}
    base = tmp_path / "cache" / "models" / "tiny"
    own = [path for name in (SFT, PPO) for path in (project.runs / name).rglob("*") if path.is_file()]
    assert len(found.files) == len(list(base.iterdir())) + len(own) - 1  # The release itself.
    check_files(found, ModelFolders(project.runs, base))
    assert {name: gate.value for name, gate in found.release.gates.items()} == {"sft/length": 3}
    assert run.manifest is not None and not broken_outputs(run.path, run.manifest)


@pytest.mark.parametrize("gate", [{"passed": False, "value": 0.3}, {"value": 1}, {"passed": 1}, "yes", None])
@pytest.mark.parametrize("run", [SFT, PPO])
def test_a_gate_that_did_not_say_yes_refuses(project: Project, run: str, gate: Any) -> None:
    with_gates(project, run, {"harm": gate})
    with pytest.raises(GateRefused, match="harm of"):
        release_run(run_of(project, PPO), KEY, valid_days=1)
    assert not (project.runs / PPO / "release.json").exists()


@pytest.mark.parametrize("run", [SFT, PPO])
def test_a_run_that_was_changed_is_not_signed(project: Project, run: str) -> None:
    (project.runs / run / "model" / "new").write_text("x")
    with pytest.raises(IntegrityError, match="not what its manifest says"):
        release_run(run_of(project, PPO), KEY, valid_days=1)


def test_another_run_of_sft_is_not_signed_for(project: Project) -> None:
    path = project.runs / SFT / "manifest.json"
    statement = json.loads(path.read_text())
    statement["subject"].pop()
    path.write_text(json.dumps(statement))
    with pytest.raises(IntegrityError, match="another"):
        release_run(run_of(project, PPO), KEY, valid_days=1)


def test_a_run_without_a_policy_is_not_signed(project: Project) -> None:
    (project.runs / PPO / "manifest.json").unlink()
    with pytest.raises(UsageError, match="unfinished"):
        release_run(run_of(project, PPO), KEY, valid_days=1)


def test_what_is_served_of_a_release(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust = Trust(tmp_path / "keys", tmp_path / "revoked")
    (tmp_path / "revoked").write_text("")
    key = signing_key(trust.keys)
    with pytest.raises(IntegrityError, match="no signed release"):
        load(project, trust)
    assert load(project, None).about["release"] is None
    release_run(run_of(project, PPO), key, valid_days=1)
    served = load(project, trust)
    assert served.names == ("ppo", PPO) and len(served.policy.adapters) == 2
    assert served.policy.max_tokens == 7 and served.policy.temperature == 0.9  # Of the training.
    digest = served.about["release"]
    (tmp_path / "revoked").write_text(digest)
    with pytest.raises(IntegrityError, match="revoked"):
        load(project, trust)
    (tmp_path / "revoked").write_text("")
    base = tmp_path / "cache" / "models" / "tiny"
    (base / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(IntegrityError, match=r"base/chat_template.jinja is not in the release"):
        load(project, trust)
    (base / "chat_template.jinja").unlink()

    def meddled(run: Any) -> Any:
        found = load_trained(run)
        (base / "config.json").write_bytes((base / "config.json").read_bytes())
        return found

    monkeypatch.setattr(served_policy, "load_trained", meddled)
    with pytest.raises(IntegrityError, match="were written while"):
        load(project, trust)


def test_the_base_is_served_unless_releases_are_asked_for(project: Project, tmp_path: Path) -> None:
    recipe = Recipe(model={"source": "tiny", "branch_layer": 1, "device": "cpu"})
    served = load_served_policy(project, "base", lambda: recipe, lambda _: None)
    assert served.names == ("base",) and served.policy.adapters == ()
    with pytest.raises(IntegrityError, match="no signed release"):
        load(project, Trust(tmp_path), "base")


def test_prompts_and_answers_fit_the_model_together(project: Project) -> None:
    options: dict[str, Any] = {"max_prompt_tokens": 500, "max_tokens": 13}
    with pytest.raises(UsageError, match="do not fit the model's 512"):
        load_served_policy(project, PPO, no_recipe, lambda _: None, **options)
    served = load_served_policy(project, PPO, no_recipe, lambda _: None)
    assert (served.policy.max_prompt_tokens, served.policy.max_answer_tokens) == (256, 256)
