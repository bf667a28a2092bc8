"""Collecting is tested on every database."""

import collection_world
import pytest
from databases import Database


@pytest.fixture(autouse=True)
def _place(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_world, "place", database.url)
