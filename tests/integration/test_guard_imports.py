"""What the gateway's process loads, where everything is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
NOT_THE_GUARD_S = {
    *("torch", "transformers", "tokenizers", "safetensors", "gguf", "huggingface_hub", "peft"),
    *("numba", "scipy", "matplotlib", "pyarrow", "pandas"),
    *("numpy.random", "alembic", "rich", "pygments", "psutil", "z3", "cel", "openai"),
}
SERVE = """
import sys
from backstay.cli.main import main
try:
    main(["guard", "serve", "--check", "--upstream", "http://127.0.0.1:9/v1"])
except SystemExit as ended:
    print(ended.code, *sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules)), file=sys.stderr)
"""


def test_the_gateway_loads_neither_models_nor_what_the_loop_needs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SERVE], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("all is well")
    code, *loaded = done.stderr.split()
    assert code == "0" and {"aiohttp", "re2", "sqlalchemy", "uvloop"} < set(loaded)
    assert not NOT_THE_GUARD_S & set(loaded)
