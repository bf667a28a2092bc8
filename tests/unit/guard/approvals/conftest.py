from collections.abc import Iterator
from pathlib import Path

import pytest
from approval_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "g.db")
    yield made
    made.close()
