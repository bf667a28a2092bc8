"""Pages on the console that can drift: the table of routes, the events of webhooks, and the client's example."""

import contextlib
import io
import os
import re
from pathlib import Path

import pytest
from console_site import console_site
from openapi_answers import Described
from served_console import served_console

from backstay.web.permissions import Role
from backstay.web.webhooks.events import EVENTS, TEST_EVENT

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "web"


def test_the_table_of_routes_is_what_is_served(tmp_path: Path) -> None:
    with console_site(tmp_path) as site:
        api = Described(site.browser())
    rows = ["| route | does | needs |", "|---|---|---|"]
    for path, operations in sorted(api.schema["paths"].items()):
        for method, found in sorted(operations.items()):
            needs = found.get("x-permissions") or ["nothing"]
            needed = "signed in" if len(needs) > 5 else " or ".join(needs)
            short = path.removeprefix("/api/v1")
            rows.append(f"| `{method.upper()} {short}` | {_first(found['description'])} | {needed} |")
    table = "\n".join(rows)
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    if os.environ.get("BACKSTAY_WRITE_DOCS"):
        before, _, _ = page.partition("ROUTES" if "ROUTES" in page else rows[0])
        (DOCS / "api.md").write_text(f"{before}{table}\n", encoding="utf-8")
    assert table in (DOCS / "api.md").read_text(encoding="utf-8"), "set BACKSTAY_WRITE_DOCS=1 and run this test"


def _first(text: str) -> str:
    """The first sentence, without what would end a cell."""
    return re.split(r"(?<=[.:;])\s|\n\n", text.replace("|", "/"))[0].replace("\n", " ").rstrip(".;:")


def test_the_table_of_events_is_complete() -> None:
    page = (DOCS / "webhooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z.]+)` \|", page, re.MULTILINE) == [*EVENTS, TEST_EVENT]


def test_the_clients_example_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "client.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with served_console(tmp_path) as served, contextlib.redirect_stdout(said):
        given = {
            "ADDRESS": served.address,
            "LEAD_TOKEN": served.token(Role.LEAD),
            "RATER_TOKEN": served.token(Role.RATER),
        }
        exec(compile(code, "client.md", "exec"), given)  # noqa: S102  our own page, to see that it holds
    lines = said.getvalue().splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("2 judgments, 2 items to rate", "4 rows for TRL in sky.jsonl", 4)
    for line in (lines[0], lines[-1]):
        assert f"`{line}`" in page
