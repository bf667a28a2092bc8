from pathlib import Path

import pytest
from fake_stages import make_stage, project_at

from backstay.pipeline import plan as plan_module
from backstay.pipeline.execute import execute
from backstay.pipeline.graph import Graph, resolve_graph
from backstay.pipeline.plan import StageCost, plan
from backstay.pipeline.recipe import Recipe


def test_totals_cover_what_would_run_and_name_what_has_no_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    stages = (
        replace(make_stage("first"), cost="fake_stages:ten_seconds"),
        replace(make_stage("second", "first", run="read_inputs"), cost="fake_stages:ten_seconds"),
        replace(make_stage("third", "second", run="read_inputs"), cost="fake_stages:ten_seconds"),
        make_stage("fourth", "third", run="read_inputs"),
    )
    monkeypatch.setattr(plan_module, "loop_graph", lambda recipe: resolve_graph(recipe, stages))
    project = project_at(tmp_path)
    found = plan(Recipe(), project)
    assert (found.seconds, found.peak_bytes, found.disk_bytes) == (30.0, 100, 15)
    assert found.unknown == ("fourth",)
    graph: Graph = resolve_graph(Recipe(), stages)
    execute(graph, project, ("first",), lambda event: None)
    found = plan(Recipe(), project)
    assert [row.state for row in found.rows] == ["reuse", "run", "run", "run"]
    assert found.running == (StageCost(10.0, 100, 5),) * 2
