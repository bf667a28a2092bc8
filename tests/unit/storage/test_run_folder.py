import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import IntegrityError, ResourceError, UsageError
from backstay.storage import RunFolder

KILLED_IN_CHECKPOINT = """
import os, signal, sys
from pathlib import Path
from backstay.storage import RunFolder
run = RunFolder(Path(sys.argv[1]))
run.metrics({"step": 2})
with run.checkpoint_writer(2, {}) as folder:
    (folder / "model.safetensors").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def checkpoint(run: RunFolder, step: int, content: bytes = b"weights") -> None:
    with run.checkpoint_writer(step, {"step": step}) as folder:
        (folder / "model.safetensors").write_bytes(content)


def names(run: RunFolder) -> list[str]:
    return sorted(path.name for path in (run.path / "checkpoints").iterdir())


def test_metrics_are_canonical_lines_without_nan(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    seen: list[dict[str, Any]] = []
    run.observers.append(seen.append)
    run.metrics({"step": 1, "loss": float("nan"), "curve": [1.5, float("inf")], "by": {"x": float("-inf")}})
    expected = '{"by":{"x":null},"curve":[1.5,null],"loss":null,"step":1}\n'
    assert (run.path / "metrics.jsonl").read_text() == expected
    assert seen == [json.loads(expected)]


def test_samples_and_timing_go_to_their_own_files_and_tell_nobody(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.observers.append(lambda row: pytest.fail(f"told of {row}"))
    run.sample({"text": "hé"})
    run.timing({"seconds": 0.25})
    assert (tmp_path / "samples.jsonl").read_text(encoding="utf-8") == '{"text":"hé"}\n'
    assert (tmp_path / "timing.jsonl").read_text() == '{"seconds":0.25}\n'


def test_what_json_cannot_hold_is_refused_by_key(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(UsageError, match=r"metrics row .*'odd'"):
        run.metrics({"odd": object()})
    assert run.positions()["metrics"] == 0


def test_truncate_removes_later_and_torn_lines(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.metrics({"step": 1})
    run.sample({"text": "kept"})
    positions = run.positions()
    assert positions == {"metrics": len('{"step":1}\n'), "samples": len('{"text":"kept"}\n'), "timing": 0}
    run.metrics({"step": 2})
    run.timing({"seconds": 1})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"ste')
    run.truncate(positions)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step":1}\n'
    assert (tmp_path / "samples.jsonl").read_text() == '{"text":"kept"}\n'
    assert run.positions() == positions


def test_log_shorter_than_its_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="has 0 bytes, but the checkpoint was taken at 10"):
        RunFolder(tmp_path).truncate({"metrics": 10})


def test_checkpoint_comes_back_with_state_and_positions(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.metrics({"step": 7})
    state: dict[str, Any] = {"rng": 2**127 + 1, "lr": 0.1 + 0.2}
    with run.checkpoint_writer(7, state) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        state["late"] = True
    found = RunFolder(tmp_path).last_checkpoint()
    assert found is not None
    assert (found.step, found.state) == (7, {"rng": 2**127 + 1, "lr": 0.1 + 0.2, "late": True})
    assert found.positions == run.positions()
    assert found.path == tmp_path / "checkpoints" / "step-000007"
    assert (found.path / "model.safetensors").read_bytes() == b"weights"


def test_only_the_last_two_stay(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (5, 10, 1_000_000):
        checkpoint(run, step)
    assert names(run) == ["step-000010", "step-1000000"]
    found = run.last_checkpoint()
    assert found is not None
    assert found.step == 1_000_000


@pytest.mark.parametrize("damage", ["bit", "extra", "missing", "state", "no state", "renamed"])
def test_damaged_checkpoint_is_deleted_and_the_one_before_taken(tmp_path: Path, damage: str) -> None:
    run = RunFolder(tmp_path)
    checkpoint(run, 1)
    checkpoint(run, 2)
    broken = tmp_path / "checkpoints" / "step-000002"
    if damage == "bit":
        (broken / "model.safetensors").write_bytes(b"weightz")
    elif damage == "extra":
        (broken / "other.safetensors").touch()
    elif damage == "missing":
        (broken / "model.safetensors").unlink()
    elif damage == "state":
        text = (broken / "state.json").read_text()
        (broken / "state.json").write_text(text.replace('"state": {"step": 2}', '"state": {"step": 3}'))
        assert (broken / "state.json").read_text() != text
    elif damage == "no state":
        (broken / "state.json").write_text("{")
    else:
        broken = broken.rename(broken.with_name("step-000003"))
    found = run.last_checkpoint()
    assert found is not None
    assert found.step == 1
    assert names(run) == ["step-000001"]


def test_kill_inside_a_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.metrics({"step": 1})
    checkpoint(run, 1)
    done = subprocess.run([sys.executable, "-c", KILLED_IN_CHECKPOINT, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(run)) == 2
    found = run.last_checkpoint()
    assert found is not None
    assert found.step == 1
    assert names(run) == ["step-000001"]
    run.truncate(found.positions)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step":1}\n'


def test_full_disk_reported_by_another_library_is_one_clear_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    checkpoint(run, 1)
    with pytest.raises(ResourceError, match="no space left on the disk"), run.checkpoint_writer(2, {}):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert names(run) == ["step-000001"]


def test_failed_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"), run.checkpoint_writer(1, {}):
        raise RuntimeError("out of memory")
    assert names(run) == []


@pytest.mark.parametrize("state", [{"nan": float("nan")}, {"tuple": (1, 2)}, {"object": object()}, {"keys": {1: 2}}])
def test_state_that_would_not_come_back_equal_is_refused(tmp_path: Path, state: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="state of checkpoint step 4"), RunFolder(tmp_path).checkpoint_writer(4, state):
        pass


def test_step_written_again_replaces_the_old_one(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    checkpoint(run, 1, b"old")
    checkpoint(run, 1, b"new")
    found = run.last_checkpoint()
    assert found is not None
    assert (found.path / "model.safetensors").read_bytes() == b"new"


def test_clear_and_empty(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.last_checkpoint() is None
    checkpoint(run, 1)
    run.clear_checkpoints()
    assert run.last_checkpoint() is None
    assert not (tmp_path / "checkpoints").exists()
