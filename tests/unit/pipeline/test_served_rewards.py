import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reward_runs import PPO, RATE, REWARD, SFT, prompts, responses, write_reward_runs
from tiny_loop import load_tiny
from trained_runs import run_of

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.reward_service import RewardService
from backstay.learn.run_specs import verl_reward
from backstay.pipeline.served_rewards import last_multiplier, load_served, prompts_of
from backstay.records import Message, Prompt
from backstay.storage import write_records

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(_cache: None) -> LanguageModel:
    return load_tiny()


def nothing(_text: str) -> None:
    return None


def test_the_reward_of_a_run_of_ppo(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model, costs=2, max_new_tokens=9, uncertainty_penalty=0.7)
    said: list[str] = []
    served = load_served(project, run_of(project, PPO), said.append)
    assert len(served.reward.members) == 3 and len(served.reward.costs) == 2
    assert served.reward.settings.uncertainty_penalty == 0.7 and served.reader.max_new_tokens == 9
    assert set(served.reader.prompts) == {prompt.id for prompt in prompts()}
    below = 0.7 * (0.08 / 3) ** 0.5  # members at 0, 0.2 and 0.4 disagree, those at 0.6 do not
    assert served.reward.references[prompts()[2].id] == pytest.approx([0.2 - below, 0.6])
    assert said == ["3 reward members, 2 cost members; setting the gate on 48 rated responses"]
    assert 0 < served.reward.gate.spread_limit < float("inf") and served.reward.price == 0.0
    rated = responses()[0]
    (found,) = served.reward.score([served.reader.row(None, rated.text, rated.finished, rated.prompt_id)])
    assert found.score is not None and found.cost is not None and not found.gate


@pytest.mark.parametrize("report", [{}, {"prompt_reference_scores": {"p": [0.2, 0.6]}}])
def test_a_run_without_reference_scores_of_members_is_refused(
    tmp_path: Path, model: LanguageModel, report: dict[str, object]
) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    (project.runs / REWARD / "reward.json").write_text(json.dumps(report))
    with pytest.raises(UsageError, match="no reference scores of single members"):
        load_served(project, run_of(project, PPO), nothing)


def test_the_reward_of_a_run_of_reward_has_the_default_settings(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model, uncertainty_penalty=0.7)
    served = load_served(project, run_of(project, REWARD), nothing, calibration=0)
    assert served.reward.settings.uncertainty_penalty == 0.5 and served.reward.gate.spread_limit == float("inf")


def test_held_out_prompts_that_rate_left_aside_are_known(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    rate = run_of(project, RATE)
    assert rate.manifest is not None
    rate.manifest.predicate["settings"]["prompts"] = "more.jsonl"
    assert {p.id for p in prompts_of(project, rate)} == {p.id for p in prompts()}  # the file is not there
    aside = Prompt.make((Message(role="user", content="how is rain ?"),), source="test", split="heldout")
    ours = Prompt.make((Message(role="user", content="how is snow ?"),), source="test", split="train")
    write_records(project.root / "more.jsonl", [aside, ours])
    assert {p.id for p in prompts_of(project, rate)} == {p.id for p in (*prompts(), aside)}


def test_a_run_of_something_else_is_refused(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    with pytest.raises(UsageError, match="a finished run of reward or ppo is needed"):
        load_served(project, run_of(project, SFT), nothing)


def test_a_run_whose_reward_is_gone_is_refused(tmp_path: Path, model: LanguageModel) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    (project.runs / REWARD / "manifest.json").unlink()
    with pytest.raises(UsageError, match="read a run of reward that is not here any longer"):
        load_served(project, run_of(project, PPO), nothing)


def test_the_price_of_cost_is_the_last_multiplier(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"multiplier": 1.5}\n{"multiplier": 2.5}\n{"update": 3}\n')
    assert last_multiplier(tmp_path) == 2.5
    assert last_multiplier(tmp_path / "nowhere") == 0.0


def test_the_function_that_verl_calls_gets_the_scores_of_the_service(
    tmp_path: Path, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    served = load_served(project, run_of(project, PPO), nothing)
    known = prompts()[0].id
    (expected,) = served.reward.score([served.reader.row(None, "good .", None, known)])
    with RewardService(served.reward.score, served.reader, token="abc").running() as service:
        monkeypatch.setenv("BACKSTAY_REWARD_URL", service.url)
        monkeypatch.setenv("BACKSTAY_REWARD_TOKEN", "abc")
        found = verl_reward.compute_score("backstay", "good .", known, {"index": 0}, more=1)
        assert found["score"] == pytest.approx(expected.shaped) and found["spread"] == pytest.approx(expected.spread)
        assert found["ensemble_score"] == pytest.approx(expected.score) and found["gate"] == float(expected.gate)
        with pytest.raises(RuntimeError, match="400 .*no prompt 'nobody'"):
            verl_reward.compute_score("backstay", "good .", "nobody")
        monkeypatch.setenv("BACKSTAY_REWARD_TOKEN", "wrong")
        with pytest.raises(RuntimeError, match="401"):
            verl_reward.compute_score("backstay", "good .", known)


def test_the_function_that_verl_calls_tries_again_and_then_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("backstay.learn.run_specs.verl_reward.time.sleep", waits.append)
    monkeypatch.setenv("BACKSTAY_REWARD_URL", "http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="no score from http://127.0.0.1:1/verl"):
        verl_reward.compute_score("backstay", "x", "y")
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2]
    monkeypatch.setenv("BACKSTAY_REWARD_URL", "file:///etc/passwd")
    with pytest.raises(RuntimeError, match="no address"):
        verl_reward.compute_score("backstay", "x", "y")


HEEDING_SIGINT = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs the command given with SIGINT as at a terminal; a job in the background inherits that it is ignored."""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path, model: LanguageModel, how: signal.Signals) -> None:
    project = write_reward_runs(tmp_path / "p", model)
    serve = [sys.executable, "-m", "backstay.cli", "serve-reward", "ppo", "--port", "0", "--json"]
    command = [sys.executable, "-c", HEEDING_SIGINT, *serve]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            about = json.loads(process.stdout.readline())
            assert about["run"] == PPO and about["members"] == 3 and about["token"] is False
            body = json.dumps({"prompts": ["how is tea ?"], "responses": ["good ."]}).encode()
            place = about["url"].removeprefix("http://")
            with contextlib.closing(http.client.HTTPConnection(place, timeout=20)) as client:
                client.request("POST", "/score", body, {"Content-Type": "application/json"})
                found = json.loads(client.getresponse().read())
            assert set(found) == {"scores", "spread", "costs", "gate", "shaped", "cut"} and found["costs"] == [None]
        finally:
            process.send_signal(how)
            try:
                assert process.wait(20) == 0
            finally:
                process.kill()


def test_the_command_refuses_the_network_without_a_token(tmp_path: Path, model: LanguageModel) -> None:
    from click.testing import CliRunner

    from backstay.cli.main import cli

    project = write_reward_runs(tmp_path / "p", model)
    with pytest.raises(UsageError, match=r"0\.0\.0\.0 can be reached from other machines"):
        CliRunner().invoke(
            cli, ["serve-reward", "--host", ".".join("0000"), "--project", str(project.root)], catch_exceptions=False
        )
