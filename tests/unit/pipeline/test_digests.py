import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.pipeline.catalog import STAGES
from backstay.pipeline.digests import (
    code_digest,
    library_versions,
    machine,
    own_modules,
    prompt_inputs,
    text_inputs,
    tree_sha256,
)
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.stage import LAYERS, at_or_below
from backstay.records import file_sha256


def tree(root: Path) -> str:
    tree_sha256.cache_clear()
    return tree_sha256(root, ("a", "b.py"))


def test_content_names_and_data_files_count_and_compiled_files_do_not(tmp_path: Path) -> None:
    (tmp_path / "a" / "inner").mkdir(parents=True)
    (tmp_path / "a" / "x.py").write_text("1")
    (tmp_path / "b.py").write_text("2")
    start = tree(tmp_path)
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "x.pyc").write_text("3")
    (tmp_path / "c.py").write_text("not named")
    assert tree(tmp_path) == start
    (tmp_path / "a" / "inner" / "data.jsonl").write_text("{}")
    added = tree(tmp_path)
    (tmp_path / "a" / "inner" / "data.jsonl").rename(tmp_path / "a" / "inner" / "other.jsonl")
    assert len({start, added, tree(tmp_path)}) == 3


def test_the_module_of_the_stage_counts() -> None:
    assert code_digest(("records",), "backstay.pipeline.stages.rate:run") != code_digest(
        ("records",), "backstay.pipeline.stages.aggregate:run"
    )
    with pytest.raises(UsageError, match="does not exist"):
        code_digest(("records",), "backstay.no_such_stage:run")


def test_modules_beside_the_stage_that_it_imports_count_too() -> None:
    assert set(own_modules("backstay.pipeline.stages.aggregate")) == {"backstay.pipeline.stages.aggregate"}
    assert set(own_modules("backstay.pipeline.stages.rate")) == {
        "backstay.pipeline.stages.rate",
        "backstay.pipeline.texts",
    }


@pytest.mark.parametrize("name", ["sft", "report"])
def test_the_parsed_modules_are_those_that_are_imported(name: str) -> None:
    beside = "backstay.pipeline.stages."
    program = f"import sys, {beside}{name}\nprint([name for name in sys.modules if name.startswith({beside!r})])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert set(own_modules(beside + name)) - {"backstay.pipeline.texts"} == set(ast.literal_eval(done.stdout))


def test_versions_are_read_without_importing() -> None:
    assert library_versions(("numpy", "no-such-thing")) == {"numpy": np.__version__, "no-such-thing": "absent"}
    assert library_versions(("torch",))["torch"] != "absent"


def test_the_pipeline_imports_no_torch() -> None:
    program = "import sys, backstay.pipeline.plan; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_machine_is_described_without_names() -> None:
    assert set(machine()) == {"system", "architecture", "python", "cores", "memory_bytes"}


def test_files_that_the_recipe_names_are_inputs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert prompt_inputs(project, Recipe()) == {}
    assert text_inputs(project, Recipe(demonstrations="preferred")) == {}
    (tmp_path / "p.jsonl").write_text("x")
    recipe = Recipe(prompts="p.jsonl", demonstrations="p.jsonl")
    assert prompt_inputs(project, recipe) == {"prompts": file_sha256(tmp_path / "p.jsonl")}
    assert set(text_inputs(project, recipe)) == {"prompts", "demonstrations"}
    with pytest.raises(UsageError, match=r"prompts: no file at .*q\.jsonl"):
        prompt_inputs(project, Recipe(prompts="q.jsonl"))


def test_every_stage_hashes_packages_that_exist_and_reads_sections_that_exist() -> None:
    for stage in STAGES:
        assert set(stage.packages) <= set(LAYERS)
        assert Recipe().part(stage.sections)
    assert at_or_below("feedback") == ("feedback", "storage", "records")
