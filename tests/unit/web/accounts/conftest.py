from collections.abc import Iterator
from pathlib import Path

import pytest
from account_world import AccountWorld, account_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AccountWorld]:
    with account_world(tmp_path) as opened:
        yield opened
