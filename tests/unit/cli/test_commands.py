"""Commands against a project whose first stages have run on answers that no model gave."""

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_stages import catalog_without_models, loop_with_fake_answers

from backstay.cli.main import cli
from backstay.errors import BackstayError, IntegrityError, UsageError
from backstay.pipeline.execute import execute
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import resolve_recipe
from backstay.pipeline.recipe_layers import layer_recipe
from backstay.pipeline.runs import latest_run

pytestmark = pytest.mark.integration
Call = Callable[..., str]
SMALL = "rate.pairs_per_prompt=1"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with finished runs up to screen."""
    root = tmp_path_factory.mktemp("template") / "demo"
    assert CliRunner().invoke(cli, ["init", str(root)]).exit_code == 0
    with (root / "backstay.yaml").open("a") as file:
        file.write("\n")
    recipe = resolve_recipe(layer_recipe(root / "backstay.yaml", [SMALL]))
    graph = loop_with_fake_answers(recipe, "screen")
    execute(graph, Project(root), graph.names, lambda event: None)
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "demo"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def call(project: Project) -> Call:
    def run(*arguments: str, env: dict[str, str] | None = None) -> str:
        result = CliRunner().invoke(cli, arguments, env=env, catch_exceptions=False, auto_envvar_prefix="BACKSTAY")
        assert result.exit_code == 0, result.output
        return result.output

    return run


def as_json(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def test_init_writes_a_recipe_that_resolves_to_the_defaults(call: Call, tmp_path: Path) -> None:
    made = as_json(call("init", str(tmp_path / "new"), "--json"))
    recipe = resolve_recipe(layer_recipe(Path(made["recipe"])))
    assert recipe.model_copy(update={"name": "backstay"}) == resolve_recipe(layer_recipe(None))
    assert recipe.name == "new"


def test_every_line_that_init_comments_out_can_be_uncommented(call: Call, tmp_path: Path) -> None:
    call("init", str(tmp_path / "new"))
    path = tmp_path / "new" / "backstay.yaml"
    text = re.sub(r"(?m)^( *)# ( *[a-z_]+:.*)$", r"\1\2", path.read_text())
    path.write_text(text)
    layers = layer_recipe(path)
    assert ("rate", "pool", "careful") in layers.origin
    assert resolve_recipe(layers).model_copy(update={"name": "backstay"}) == resolve_recipe(layer_recipe(None))


def test_init_copies_a_recipe_only_when_it_resolves(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "mine.yaml"
    source.write_text("ppo:\n  updates: 3\n")
    call("init", str(tmp_path / "a"), "--recipe", str(source))
    assert (tmp_path / "a" / "backstay.yaml").read_text() == source.read_text()
    source.write_text("ppo:\n  update: 3\n")
    with pytest.raises(BackstayError, match="nearest known key: ppo.updates"):
        call("init", str(tmp_path / "b"), "--recipe", str(source))
    assert not (tmp_path / "b").exists()


def test_config_show_resolves_file_environment_and_arguments(call: Call) -> None:
    shown = as_json(call("config", "show", "ppo.seed=7", "--json", env={"BACKSTAY_PPO__UPDATES": "5"}))
    assert (shown["ppo"]["seed"], shown["ppo"]["updates"]) == (7, 5)
    text = call("config", "show", "ppo.seed=7", "--why")
    assert "  seed: 7" in text
    assert "# ppo.seed: argument ppo.seed=7" in text


def test_options_come_from_the_environment_too(call: Call) -> None:
    assert as_json(call("config", "show", env={"BACKSTAY_JSON": "1"}))["name"] == "demo"


def test_runs_lists_what_is_finished(call: Call, project: Project) -> None:
    rows = as_json(call("runs", "--json"))
    assert [row["stage"] for row in rows] == ["sample", "rate", "aggregate", "screen"]
    assert all(row["latest"] and row["state"] == "finished" for row in rows)
    assert latest_run(project, "screen").name in call("runs")


def test_verify_finds_nothing_in_an_honest_project(call: Call) -> None:
    found = as_json(call("verify", "--json"))
    assert found["ok"]
    assert [check["what"].split("-")[0] for check in found["checks"]] == [
        "journal",
        "aggregate",
        "rate",
        "sample",
        "screen",
    ]


def test_verify_names_a_changed_output(call: Call, project: Project) -> None:
    path = latest_run(project, "screen").path / "pairs.jsonl"
    path.write_text(path.read_text().replace("quarantined", "accepted"))
    with pytest.raises(IntegrityError, match=r"screen-\w+: pairs.jsonl has sha256") as caught:
        call("verify")
    assert caught.value.exit_code == 4
    with pytest.raises(IntegrityError):
        call("verify", str(path.parent))


def test_verify_misses_a_database_whose_seals_are_still_there(call: Call, project: Project) -> None:
    for file in project.state.glob("backstay.db*"):
        file.unlink()
    with pytest.raises(IntegrityError, match=r"backstay.db is missing, but journal.seals.jsonl"):
        call("verify")


def test_verify_names_an_edited_judgment(call: Call, project: Project) -> None:
    with contextlib.closing(sqlite3.connect(project.database)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        edit = """UPDATE judgments SET record = replace(record, '"duration_ms":', '"duration_ms":1')"""
        connection.execute(f"{edit} WHERE seq = (SELECT max(seq) FROM judgments)")
    with pytest.raises(IntegrityError, match="journal: judgment .* changed|journal: .*"):
        call("verify")


def test_report_takes_what_has_run(call: Call, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstay.pipeline.catalog.STAGES", catalog_without_models())
    made = Path(as_json(call("report", SMALL, "--json"))["report"])
    page = made.read_text(encoding="utf-8")
    assert "<html" in page
    assert "simulated" in page
    assert made.parent.name.startswith("report-")
    assert call("report", "--run", "report").strip() == str(made)


def test_raters_shows_the_least_trusted_first(call: Call) -> None:
    rows = as_json(call("raters", "--json"))
    assert [row["trust"] for row in rows] == sorted(row["trust"] for row in rows)
    assert all(row["rater"]["simulated"] for row in rows)
    assert "(simulated)" in call("raters")


def test_raters_prints_alarms_above_the_table_within_the_width(call: Call, project: Project) -> None:
    path = latest_run(project, "aggregate").path / "aggregate.json"
    topic = {"topic": "tea\x1b[2J", "votes": 1900, "excess_contradictions": 0.08, "z": 3.1, "suspected": True}
    found = json.loads(path.read_text()) | {"topics": [topic | {"judged_apart": False}], "audit": ["pair-1"]}
    path.write_text(json.dumps(found))
    printed = call("raters", env={"COLUMNS": "80"})
    assert printed.index("ALARM Raters may be lying about tea\\x1b[2J") < printed.index("rater  ")
    assert "    backstay audit -o audit.jsonl\n" in printed
    assert "1,900 votes" in " ".join(printed.split())
    assert "\x1b" not in printed
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert isinstance(as_json(call("raters", "--json")), list)


def test_aggregate_compares_all_algorithms_on_hidden_gold(call: Call) -> None:
    rows = as_json(call("aggregate", "--compare", "--json"))
    assert [row["algorithm"] for row in rows][:2] == ["reliability", "majority"]
    assert len({row["items"] for row in rows}) == 1
    shown = call("aggregate", "--compare")
    assert ("dawid-skene" in shown) == (rows[0]["items"] > 0)


def test_audit_writes_questions_and_never_over_answers(call: Call, project: Project, tmp_path: Path) -> None:
    run = next(path for path in project.runs.iterdir() if path.name.startswith("aggregate-"))
    summary = json.loads((run / "aggregate.json").read_text())
    pairs = [json.loads(line) for line in (run / "pairs.jsonl").read_text().splitlines()]
    summary["audit"] = [pairs[0]["id"], pairs[1]["id"]]
    (run / "aggregate.json").write_text(json.dumps(summary))
    questions = tmp_path / "questions.jsonl"
    assert "2 pairs" in call("audit", "-o", str(questions))
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    assert [row["prompt_id"] for row in rows] == [pair["prompt_id"] for pair in pairs[:2]]
    assert all(row["text_a"] and row["better"] is None for row in rows)
    with pytest.raises(UsageError, match="may hold answers"):
        call("audit", "-o", str(questions))


def test_quarantine_lists_shows_and_releases(call: Call, project: Project) -> None:
    pairs = as_json(call("quarantine", "ls", "--json"))
    assert pairs
    pair_id = pairs[0]["id"]
    shown = as_json(call("quarantine", "show", pair_id, "--json"))
    assert shown["pair"]["findings"]
    assert shown["prompt"]["id"] == pairs[0]["prompt_id"]
    assert "a: " in call("quarantine", "show", pair_id)
    with pytest.raises(UsageError, match="0 pairs begin with 'nothing'"):
        call("quarantine", "show", "nothing")
    review = as_json(call("quarantine", "release", pair_id, "--reason", "fine", "--reviewer", "ann", "--json"))
    assert (review["item_id"], review["action"], review["reviewer"]) == (pair_id, "release", "ann")
    recipe = resolve_recipe(layer_recipe(project.recipe_path, [SMALL]))
    graph = loop_with_fake_answers(recipe, "screen")
    runs = execute(graph, project, graph.names, lambda event: None)
    assert [run.state for run in runs] == ["reused", "reused", "reused", "finished"]
    assert runs[-1].summary["released"] == 1


def test_control_characters_never_reach_the_terminal() -> None:
    from backstay.cli.quarantine import visible

    assert visible("a\x1b[31m\u202eb\nc") == "a\\x1b[31m\\u202eb\\nc"


def test_compare_shows_what_differs(call: Call, project: Project) -> None:
    text = call("compare", "rate", "aggregate")
    assert "settings.rate.seed" in text
    same = as_json(call("compare", "rate", latest_run(project, "rate").name, "--json"))
    assert same["rows"] == []


def test_import_then_export_gives_the_same_judgments_back(call: Call, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"q{number}", "response_a": "x", "response_b": "y", "choice": choice, "rater": rater}
        for number, (choice, rater) in enumerate([("a", "ann"), ("b", "bob"), ("tie", "ann")])
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    assert as_json(call("import", "jsonl", str(source), "--dataset", "mine", "--json"))["judgments"] == 3
    assert as_json(call("import", "jsonl", str(source), "--dataset", "mine", "--json"))["judgments"] == 0
    target = tmp_path / "out.jsonl"
    assert "3 rows written" in call("export", "jsonl", str(target), "--dataset", "mine")
    back = [json.loads(line) for line in target.read_text().splitlines()]
    decoded = {(json.loads(row["prompt"])[0]["content"], row["rater"]) for row in back}
    assert decoded == {(row["prompt"], row["rater"]) for row in rows}
    with pytest.raises(UsageError, match="exists"):
        call("export", "jsonl", str(target), "--dataset", "mine")


def test_a_column_map_and_values_reach_the_importer(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("question,left,right,winner,who\nq,x,y,L,ann\n")
    columns = ("prompt=question", "response_a=left", "response_b=right", "choice=winner", "rater=who")
    options = [part for column in columns for part in ("--column", column)]
    report = as_json(call("import", "csv", str(source), *options, "--value", "L=a", "--value", "R=b", "--json"))
    assert (report["dataset"], report["judgments"]) == ("in", 1)


def test_bad_rows_are_refused_with_their_lines(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    good = '{"chosen": "\\n\\nHuman: a\\n\\nAssistant: b", "rejected": "\\n\\nHuman: a\\n\\nAssistant: c"}'
    source.write_text(f'{good}\n{{"chosen": 1}}\n')
    with pytest.raises(UsageError, match="line 2"):
        call("import", "hh-rlhf", str(source))
    assert as_json(call("import", "hh-rlhf", str(source), "--allow-partial", "--json"))["judgments"] == 1


def test_trl_export_writes_accepted_pairs(call: Call, tmp_path: Path) -> None:
    report = as_json(call("export", "trl", str(tmp_path / "out.jsonl"), "--json"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert report["written"] == len(rows) > 0
    assert all(row["p_chosen"] > 0.5 for row in rows)
    assert report["left_out"]["quarantined"] == len(as_json(call("quarantine", "ls", "--json")))


def test_doctor_names_a_cure_for_a_broken_recipe(call: Call, project: Project) -> None:
    checks = {check["what"]: check for check in as_json(call("doctor", "--json"))}
    assert checks["recipe"]["state"] == "ok"
    assert checks["journal"]["state"] == "ok"
    project.recipe_path.write_text("ppo: {updats: 1}\n")
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    checks = {check["what"]: check for check in json.loads(result.output.splitlines()[0])}
    assert checks["recipe"]["state"] == "broken"
    assert "nearest known key: ppo.updates" in checks["recipe"]["found"]
    assert isinstance(result.exception, BackstayError)


def test_chat_wants_a_policy(call: Call) -> None:
    with pytest.raises(UsageError, match="is a run of rate; chat needs a finished run of ppo, dpo or sft"):
        call("chat", "rate")
    with pytest.raises(UsageError, match="no run 'ppo'"):
        call("chat")
