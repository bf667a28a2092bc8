from pathlib import Path
from typing import Any

import pytest

from backstay.errors import ImportRefused
from backstay.learn.machine_speed import MachineSpeed
from backstay.pipeline.catalog import STAGES
from backstay.pipeline.plan import plan
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stages import cost

SPEED = MachineSpeed(1e-5, 3e-5, 1e-5, 1e-4, 1e-4, 1e-4, 3e-4)


@pytest.fixture(autouse=True)
def _steady_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cost, "measure_machine", lambda *_args, **_kwargs: SPEED)
    for cached in (cost._reader, cost._base, cost._counts_of):
        cached.cache_clear()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "p", "name: p\n")


def recipe(**changes: Any) -> Recipe:
    tiny = {"source": "tiny", "branch_layer": 1, "system": ""}
    return Recipe.model_validate({"model": tiny} | changes)


def test_every_stage_of_the_loop_has_an_estimate(project: Project) -> None:
    rows: dict[str, Any] = {}
    for policy in ("ppo", "dpo"):
        found = plan(recipe(evaluate={"policy": policy}), project)
        assert found.unknown == ()
        rows |= {row.stage: row for row in found.rows}
    assert set(rows) == {stage.name for stage in STAGES}
    assert all(row.cost and row.cost.seconds > 0 and row.cost.peak_bytes > 100 << 20 for row in rows.values())


def test_kto_costs_more_than_dpo_and_half_the_pairs_less(project: Project) -> None:
    dpo, kto, fewer = (
        cost.dpo(project, recipe(dpo={"loss": loss}, rate={"pairs_per_prompt": pairs}))
        for loss, pairs in (("dpo", 6), ("kto", 6), ("dpo", 3))
    )
    assert dpo is not None and kto is not None and fewer is not None
    assert fewer.seconds < dpo.seconds < kto.seconds


def test_counts_are_those_of_the_demo(project: Project) -> None:
    counts = cost._counts(project, recipe(rate={"pairs_per_prompt": 3, "judgments_per_task": 5}))
    assert (len(counts.train), len(counts.heldout), counts.responses) == (225, 75, 900)
    assert (counts.pairs, counts.judgments, counts.width) == (675, 3375, 24)
    prompts, responses = cost._lessons(project, recipe())
    assert len(prompts) == len(responses) == 96


def test_no_more_pairs_than_two_responses_make(project: Project) -> None:
    counts = cost._counts(project, recipe(rate={"pairs_per_prompt": 50}, sample={"responses": 3}))
    assert counts.pairs == 225 * 3


def test_preferred_demonstrations_are_as_many_as_pairs_or_the_limit(project: Project) -> None:
    chosen = recipe(demonstrations="preferred", rate={"pairs_per_prompt": 1}, sft={"max_demonstrations": 40})
    prompts, responses = cost._lessons(project, chosen)
    assert len(prompts) == 40 and responses == [24] * 40


def test_a_bad_prompts_file_is_an_error_and_not_a_missing_estimate(project: Project) -> None:
    (project.root / "mine.jsonl").write_text('{"prompt": 3}\n')
    with pytest.raises(ImportRefused, match="line 1"):
        cost.sample(project, recipe(prompts="mine.jsonl"))


def test_a_model_that_is_not_here_yet_has_no_estimate(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    unknown = Recipe.model_validate({"model": {"source": "nobody/nothing-of-that-name"}})
    assert cost.ppo(project, unknown) is None and cost.rate(project, unknown) is None


def test_the_attack_costs_its_repetitions(project: Project) -> None:
    one, six = (
        cost.redteam(project, recipe(redteam={"flip_shares": shares, "seeds": seeds}))
        for shares, seeds in (((0.0,), 1), ((0.0, 0.2), 3))
    )
    assert one is not None and six is not None
    assert six.seconds - 0.1 == pytest.approx(6 * (one.seconds - 0.1))
