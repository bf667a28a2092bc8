import gzip
import io
import json
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tiny_loop import fresh_members, load_tiny, tiny_shape

from backstay.cli.main import cli
from backstay.errors import ImportRefused, IntegrityError, UsageError
from backstay.learn import RewardSettings
from backstay.learn.batches import pad_dialogues
from backstay.learn.scalar_models import load_member, save_member
from backstay.pipeline.manifest import write_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.runs import Run, open_run
from backstay.pipeline.score_responses import LoadedReward, load_reward, score_file
from backstay.records import Message, Prompt

RUN = "reward-00000000000a"
LIMIT = 6
ROWS: list[dict[str, Any]] = [
    {"prompt": "how is the sun ?", "response": "the sun is warm .", "id": "one"},
    {"messages": [{"role": "user", "content": "how is tea ?"}], "response": "bad", "id": 2, "other": [1]},
    {"prompt": "how is the sun ?", "response": ""},
    {"prompt": "how is tea ?", "response": "the city is great and the cat is happy .", "finished": False},
]


def write_reward_run(root: Path, *, costs: int = 0, digest: str = "") -> Project:
    """A project with a finished run of reward whose members are noise."""
    project, model = Project.create(root, "name: scored\n"), load_tiny()
    members = fresh_members(model, 2 + costs)
    for index, member in enumerate(members):
        member.gain.fill_(0.5 + index)
        place = f"model/member-{index}" if index < 2 else f"model-cost/member-{index - 2}"
        save_member(member, project.runs / RUN / place, base=model.name, digest=digest or model.digest)
    parts = {
        "model": tiny_shape().model_dump(mode="json"),
        "reward": RewardSettings(max_response_tokens=LIMIT).model_dump(mode="json"),
    }
    predicate = {"stage": "reward", "key": "k", "inputs": {}, "settings": parts, "summary": {}}
    write_manifest(project.runs / RUN, predicate | {"finished": "2026-01-01T00:00:00.000+00:00"})
    return project


def run_of(project: Project) -> Run:
    return open_run(project.runs / RUN)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_reward_run(tmp_path_factory.mktemp("scored") / "p", costs=2)


@pytest.fixture(scope="module")
def reward(project: Project) -> LoadedReward:
    return load_reward(run_of(project))


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def scored(reward: LoadedReward, path: Path, **changes: Any) -> tuple[list[dict[str, Any]], Any]:
    out = io.BytesIO()
    report = score_file(reward, path, out, **({"allow_partial": False, "penalty": 0.5} | changes))
    return [json.loads(line) for line in out.getvalue().splitlines()], report


def alone(reward: LoadedReward, folder: Path, row: dict[str, Any]) -> float:
    """One member's score of one response, through the decoder without any batch."""
    model = reward.model
    content = row["prompt"] if "prompt" in row else row["messages"][0]["content"]
    prompt = model.prompt_tokens(Prompt.make((Message(role="user", content=content),), source="t"))
    response = model.response_tokens(row["response"], finished=row.get("finished", True), limit=LIMIT)
    assert prompt is not None
    dialogues = pad_dialogues([prompt], [response], model.pad_id)
    branch = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    with torch.no_grad():
        return float(load_member(model.decoder, folder)(model.decoder, dialogues, branch)[0])


def test_scores_are_those_of_every_response_alone(reward: LoadedReward, project: Project, tmp_path: Path) -> None:
    lines, report = scored(reward, write(tmp_path / "in.jsonl", ROWS), batch=3)
    run = project.runs / RUN
    for line, row in zip(lines, ROWS, strict=True):
        members = [alone(reward, run / "model" / f"member-{i}", row) for i in range(2)]
        costs = [alone(reward, run / "model-cost" / f"member-{i}", row) for i in range(2)]
        assert line["members"] == pytest.approx(members, abs=1e-5)
        assert (line["mean"], line["spread"]) == pytest.approx((fmean(members), pstdev(members)), abs=1e-5)
        assert line["lower"] == pytest.approx(fmean(members) - 0.5 * pstdev(members), abs=1e-5)
        assert (line["cost"], line["cost_spread"]) == pytest.approx((fmean(costs), pstdev(costs)), abs=1e-5)
    assert [(line["id"], line["line"], line["cut"]) for line in lines] == [
        ("one", 1, False),
        (2, 2, False),
        (None, 3, False),
        (None, 4, True),
    ]
    assert (report.rows, report.scored, report.refused, report.cut) == (4, 4, 0, 1)


def test_batches_and_compression_change_nothing(reward: LoadedReward, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", ROWS)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    whole, _ = scored(reward, path)
    for lines in (scored(reward, path, batch=1)[0], scored(reward, tmp_path / "in.jsonl.gz")[0]):
        assert [line["mean"] for line in lines] == pytest.approx([line["mean"] for line in whole], abs=1e-5)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("nonsense", "not valid JSON"),
        ('["prompt"]', "is a list, not an object"),
        ({"prompt": "x"}, "response: Field required"),
        ({"response": "x"}, "give either `prompt`"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}], "response": "y"}, "give either `prompt`"),
        ({"messages": [{"role": "assistant", "content": "x"}], "response": "y"}, "last message must be the user's"),
        ({"prompt": 3, "response": "y"}, "prompt: Input should be a valid string"),
        ({"prompt": "x", "response": None}, "response: Input should be a valid string"),
        ({"prompt": "x", "response": "a\u0000b"}, "NUL character"),
        ('{"prompt": "x", "response": "\\ud800"}', "not valid Unicode"),
        ('{"prompt": "x", "response": "y", "response": "z"}', "a key comes twice"),
        ({"prompt": "the sun " * 200, "response": "y"}, "prompt is longer than 160 tokens"),
    ],
)
def test_bad_lines_are_refused_with_their_number(reward: LoadedReward, tmp_path: Path, bad: Any, said: str) -> None:
    path = write(tmp_path / "in.jsonl", [ROWS[0], "", bad, ROWS[1]])
    out = io.BytesIO()
    with pytest.raises(ImportRefused, match="1 of 3 rows break the format; nothing was scored") as caught:
        score_file(reward, path, out, allow_partial=False, penalty=0.5)
    assert out.getvalue() == b""
    assert caught.value.problems[0].startswith("line 3: ") and said in caught.value.problems[0]
    lines, report = scored(reward, path, allow_partial=True)
    assert [line["line"] for line in lines] == [1, 3, 4]
    assert said in lines[1]["error"] and "mean" not in lines[1]
    assert (report.rows, report.scored, report.refused) == (3, 2, 1)


def test_a_file_without_a_good_row_is_refused_whatever_is_allowed(reward: LoadedReward, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="2 of 2 rows"):
        scored(reward, write(tmp_path / "in.jsonl", ["x", "y"]), allow_partial=True)
    with pytest.raises(UsageError, match="holds no rows"):
        scored(reward, write(tmp_path / "empty.jsonl", [""]))


def test_a_score_that_is_no_number_is_null(reward: LoadedReward, tmp_path: Path) -> None:
    bias = reward.members[1].bias.clone()
    reward.members[1].bias.fill_(float("nan"))
    try:
        lines, _ = scored(reward, write(tmp_path / "in.jsonl", ROWS[:1]))
    finally:
        reward.members[1].bias.copy_(bias)
    assert (lines[0]["mean"], lines[0]["spread"], lines[0]["lower"], lines[0]["members"][1]) == (None,) * 4
    assert lines[0]["cost"] is not None


def test_a_run_without_a_cost_model_says_nothing_of_cost(tmp_path: Path) -> None:
    loaded = load_reward(run_of(write_reward_run(tmp_path / "p")))
    lines, _ = scored(loaded, write(tmp_path / "in.jsonl", ROWS[:1]))
    assert "cost" not in lines[0]


def test_runs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    project = write_reward_run(tmp_path / "p", digest="another")
    with pytest.raises(IntegrityError, match="trained on another base"):
        load_reward(run_of(project))
    (project.runs / RUN / "manifest.json").unlink()
    with pytest.raises(UsageError, match="no finished run of reward"):
        load_reward(run_of(project))


def call(project: Project, *words: str) -> Any:
    return CliRunner().invoke(cli, ["reward", *words, "--project", str(project.root)], catch_exceptions=False)


def test_the_command_scores_to_standard_output_and_counts_beside_it(project: Project, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", ROWS)
    done = call(project, "score", str(path))
    assert done.exit_code == 0
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [1, 2, 3, 4]
    assert f"4 of 4 responses scored by {RUN}" in done.stderr and "1 were cut" in done.stderr


def test_the_command_writes_a_file_whole_or_not_at_all(project: Project, tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", [*ROWS, "bad"]), tmp_path / "out.jsonl"
    with pytest.raises(ImportRefused, match="score the other 4 rows with --allow-partial"):
        call(project, "score", str(path), "--output", str(out))
    assert not out.exists()
    done = call(project, "score", str(path), "--output", str(out), "--allow-partial", "--json", "--run", RUN)
    assert json.loads(done.stdout)["refused"] == 1
    assert len(out.read_text().splitlines()) == 5
    with pytest.raises(UsageError, match="exists"):
        call(project, "score", str(path), "--output", str(out))


def test_without_a_commands_name_the_stage_runs(project: Project) -> None:
    shown = json.loads(call(project, "reward.epochs=2", "--dry-run", "--json").stdout)
    assert shown["recipe"]["reward"]["epochs"] == 2
    assert "reward" in {row["stage"] for row in shown["stages"]}
    assert "score" in call(project, "--help").stdout
