"""The listed kinds are those that scanners find, on every labelled case there is."""

from pathlib import Path

import pytest
from danger_cases import CASES
from danger_held_out import HELD_OUT

import backstay.scan
from backstay.scan import ScanSettings, bundle_of
from backstay.scan.kinds import DANGERS, WHOLE_TEXTS, kinds_of


def test_what_scanners_find_is_listed() -> None:
    settings = ScanSettings()
    known, bundle = kinds_of(settings), bundle_of(settings)
    texts = [f"```{surface}\n{text}\n```" for surface, _, text in (*CASES, *HELD_OUT)]
    found = {finding.kind for text in texts for finding in bundle.scan(text, "model.tool_call").findings}
    assert len(found) > 15 and found <= known


@pytest.mark.parametrize("kind", [k for kinds in (*DANGERS.values(), *WHOLE_TEXTS.values()) for k in kinds])
def test_what_is_listed_stands_in_a_scanner(kind: str) -> None:
    folder = Path(backstay.scan.__file__).parent
    assert any(f'"{kind}"' in path.read_text() for path in folder.glob("*.py") if path.name != "kinds.py")


def test_scanners_that_are_left_out_find_nothing() -> None:
    assert "sql_write" not in kinds_of(ScanSettings(scanners=("secrets",)))
    assert {"secrets", "not_scanned"} <= kinds_of(ScanSettings(scanners=("secrets",)))
