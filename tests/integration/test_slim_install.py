"""`backstay[guard]` alone, from the package index into an empty environment: it serves, and it is small."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MOST_WHEELS_MB = 60
pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def footprint() -> dict[str, Any]:
    """Figures of one run; the script ends with an error where a command fails or an answer is not the upstream's."""
    script = ROOT / "benchmarks" / "guard" / "footprint.py"
    done = subprocess.run([sys.executable, script, "--requests", "20"], capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "NewConnectionError" in done.stderr:
        pytest.skip(f"the package index cannot be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_no_library_of_models_or_of_the_loop_is_installed(footprint: dict[str, Any]) -> None:
    loop = {"torch", "transformers", "tokenizers", "safetensors", "numba", "scipy", "matplotlib", "pyarrow", "jinja2"}
    installed = set(footprint["installed"])
    assert not loop & installed
    assert {"backstay", "aiohttp", "google-re2", "sqlalchemy", "starlette"} < installed


def test_the_download_keeps_to_its_budget(footprint: dict[str, Any]) -> None:
    assert 20 < footprint["wheels_mb"] <= MOST_WHEELS_MB, footprint["largest_wheels_mb"]


def test_a_command_of_the_loop_names_the_extra_that_it_lacks(footprint: dict[str, Any]) -> None:
    said = footprint["init_says"]
    assert "is not installed, and this command needs it" in said
    assert "pip install 'backstay[" in said and "backstay[train]" in said
