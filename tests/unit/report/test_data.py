import json
from pathlib import Path

import pytest

from backstay.errors import IntegrityError
from backstay.records import file_sha256
from backstay.report import ReportData, ReportMeta, ReportSettings, StageMeta, load_report_data

META = ReportMeta(title="fixture", imported=False)


def test_run_folders_are_read_back(run_folders: dict[str, Path], report_data: ReportData) -> None:
    data = load_report_data(run_folders, META)
    assert data.evaluation == report_data.evaluation
    assert data.ppo == report_data.ppo
    assert data.reward == report_data.reward
    assert data.trust == report_data.trust
    assert data.counts == {"prompts": 3}


def test_stages_carry_lineage_and_time(run_folders: dict[str, Path]) -> None:
    meta = META.model_copy(update={"stages": {"ppo": StageMeta(seconds=99.0, reused=True)}})
    stages = {stage.name: stage for stage in load_report_data(run_folders, meta).stages}
    assert not stages["sample"].was_run
    assert stages["reward"].run == "reward-0123456789ab"
    assert stages["reward"].manifest_sha256 == file_sha256(run_folders["reward"] / "manifest.json")
    assert stages["reward"].inputs == ("rate-0123456789ab",)
    assert (stages["reward"].seconds, stages["ppo"].seconds, stages["ppo"].reused) == (12.5, 99.0, True)


def test_nothing_run_is_nothing_known() -> None:
    data = load_report_data({}, META)
    assert data.evaluation is None
    assert data.ppo == ()
    assert not any(stage.was_run for stage in data.stages)


def test_missing_files_and_strange_manifests_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('["not a statement"]')
    stage = next(s for s in load_report_data({"ppo": tmp_path}, META).stages if s.name == "ppo")
    assert (stage.seconds, stage.inputs, stage.outputs) == (None, (), 0)


@pytest.mark.parametrize(
    ("imported", "wish", "shown"),
    [(False, "own", True), (True, "own", False), (True, "all", True), (False, "none", False)],
)
def test_texts_are_dropped_when_they_may_not_be_shown(
    run_folders: dict[str, Path], imported: bool, wish: str, shown: bool
) -> None:
    settings = ReportSettings.model_validate({"show_texts": wish})
    data = load_report_data(run_folders, ReportMeta(title="fixture", imported=imported), settings)
    assert data.evaluation is not None
    assert data.evaluation["samples"]
    assert all(("prompt" in row, "before" in row, "after" in row) == (shown,) * 3 for row in data.evaluation["samples"])
    assert all("gold_before" in row for row in data.evaluation["samples"])


@pytest.mark.parametrize("text", ["{broken", "[1, 2]", '"text"'])
def test_broken_files_are_named(run_folders: dict[str, Path], text: str) -> None:
    (run_folders["reward"] / "reward.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"reward\.json"):
        load_report_data(run_folders, META)


def test_broken_lines_are_named_by_number(run_folders: dict[str, Path]) -> None:
    (run_folders["ppo"] / "metrics.jsonl").write_text(json.dumps({"update": 1}) + "\n\n3\n")
    with pytest.raises(IntegrityError, match=r"metrics\.jsonl:3"):
        load_report_data(run_folders, META)
