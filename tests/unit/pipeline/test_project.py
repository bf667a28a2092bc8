from pathlib import Path

import pytest

from backstay.errors import UsageError
from backstay.pipeline.project import Project


def test_a_project_is_found_from_any_folder_inside_it(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", "name: p\n")
    deep = project.root / "a" / "b"
    deep.mkdir(parents=True)
    assert Project.find(deep) == project
    assert project.database == project.root / ".backstay" / "backstay.db"


def test_outside_of_a_project_the_cure_is_init(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backstay init DIR"):
        Project.find(tmp_path)


def test_a_project_is_never_overwritten(tmp_path: Path) -> None:
    Project.create(tmp_path, "name: p\n")
    with pytest.raises(UsageError, match="exists already"):
        Project.create(tmp_path, "name: q\n")
    assert (tmp_path / "backstay.yaml").read_text() == "name: p\n"


def test_the_key_folder_is_closed_to_others(tmp_path: Path) -> None:
    assert Project.create(tmp_path, "").keys.stat().st_mode & 0o077 == 0


def test_the_cache_follows_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "c"))
    assert Project(tmp_path).cache == tmp_path / "c"


def test_relative_paths_of_a_recipe_start_at_the_project(tmp_path: Path) -> None:
    assert Project(tmp_path).resolve("prompts/mine.jsonl") == tmp_path / "prompts" / "mine.jsonl"
    assert Project(tmp_path).resolve("/abs") == Path("/abs")
