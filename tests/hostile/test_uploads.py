"""Uploads that mean harm: too long, bombs, lies about their length, names of other projects; nothing is left behind."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from console_site import Browser, ConsoleSite, console_site
from starlette.requests import ClientDisconnect

from backstay.web import uploads
from backstay.web.faults import ApiFault
from backstay.web.permissions import Role

ROW = {"prompt": "Why?", "response_a": "a", "response_b": "b", "choice": "a", "rater": "r"}
LINE = json.dumps(ROW).encode() + b"\n"
PATH = "/api/v1/projects/p/imports"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path, max_upload_bytes=50_000) as found:
        yield found


@pytest.fixture
def lead(site: ConsoleSite) -> Browser:
    found = site.as_role(Role.LEAD)
    assert found.post("/api/v1/projects", {"id": "p", "name": "P", "dataset": "d"}).status_code == 201
    return found


def judgments(site: ConsoleSite) -> int:
    with site.console.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM judgments").scalar_one())


def test_more_than_the_most_is_refused_with_and_without_a_length(site: ConsoleSite, lead: Browser) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    for content in (b"x" * 50_001, chunks()):
        answer = lead.send("POST", f"{PATH}?format=jsonl", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert (list(site.console.scratch.iterdir()), judgments(site)) == ([], 0)


def test_a_sender_who_goes_away_leaves_nothing_and_is_no_error_of_the_server(site: ConsoleSite, lead: Browser) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield LINE
        raise ClientDisconnect

    async def take() -> None:
        async with uploads.received(site.console, cut(), None):
            pytest.fail("half a file was taken")

    with pytest.raises(ApiFault, match="ended before the file did"):
        asyncio.run(take())
    assert (list(site.console.scratch.iterdir()), judgments(site)) == ([], 0)


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("jsonl", gzip.compress(b"\n" * 40_000_000)),
        ("jsonl", b'{"prompt": ' + b"[" * 40_000),
        ("label-studio", b"[" * 40_000),
        ("argilla", b'[{"fields": ' + b'{"a":' * 8_000),
        ("parquet", b"PAR1" + b"\x00" * 1000 + b"PAR1"),
        ("csv", b'prompt,response_a,response_b,choice,rater\n"' + b"x" * 40_000),
        ("jsonl", b"\xff\xfe" + "{}".encode("utf-16-le")),
        ("jsonl", b'{"prompt": "\\ud800", "response_a": "a", "response_b": "b", "choice": "a", "rater": "r"}\n'),
        ("trl", b""),
        ("hh-rlhf", b"\x00" * 1000),
        ("ultrafeedback", b"null\n"),
        ("production", b"1e999\n"),
        ("unjudged", b"PAR1" + b"\x00" * 1000 + b"PAR1"),
        ("unjudged", gzip.compress(b"[" * 40_000_000)),
        ("unjudged", b"\x1f\x8b" + b"\x00" * 1000),
        ("unjudged", b'{"prompt": "q", "responses": ' + b"[" * 40_000),
        ("unjudged", b'prompt,response_a,response_b\nq,"' + b"x" * 40_000),
    ],
)
def test_a_hostile_file_is_refused_as_one_and_leaves_nothing(
    site: ConsoleSite, lead: Browser, form: str, content: bytes
) -> None:
    answer = lead.send("POST", f"{PATH}?format={form}", content=content)
    assert answer.status_code == 422, answer.text[:300]
    assert "Traceback" not in answer.text
    assert str(site.console.scratch) not in answer.text
    assert judgments(site) == 0
    left = [path.name for path in site.console.scratch.iterdir()]
    assert all(name.startswith("rejects-") for name in left)


def test_gzip_that_is_no_bomb_is_read(site: ConsoleSite, lead: Browser) -> None:
    assert lead.send("POST", f"{PATH}?format=jsonl", content=gzip.compress(LINE)).json()["judgments"] == 1


def test_rejects_belong_to_their_project_and_end_after_an_hour(site: ConsoleSite, lead: Browser) -> None:
    lead.post("/api/v1/projects", {"id": "other", "name": "O", "dataset": "o"})
    link = lead.send("POST", f"{PATH}?format=jsonl", content=LINE + b"{}\n").json()["error"]["rejects"]
    assert lead.get(link).status_code == 200
    assert lead.get(link.replace("/p/", "/other/")).status_code == 404
    assert site.as_role(Role.RATER).get(link).status_code == 403
    assert site.as_role(Role.LEAD, name="elsewhere", projects=["other"]).get(link).status_code == 404
    for name in ("../../keys/digest.key", "..%2f..%2fconsole.db", "a" * 65, "%00aaaaaaaa"):
        assert lead.get(f"/api/v1/projects/p/rejects?id={name}").status_code in (404, 422)
    site.clock.move(3601)
    assert lead.get(link).status_code == 404
    lead.send("POST", f"{PATH}?format=jsonl", content=LINE + b"{}\n")
    assert len([path for path in site.console.scratch.iterdir() if path.name.startswith("rejects-")]) == 1


def test_files_can_be_read_by_their_owner_only(site: ConsoleSite, lead: Browser) -> None:
    lead.send("POST", f"{PATH}?format=jsonl", content=LINE + b"{}\n")
    assert site.console.scratch.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in site.console.scratch.iterdir()} == {0o600}


def test_the_name_of_an_export_is_plain_and_csv_runs_no_formula(site: ConsoleSite, lead: Browser) -> None:
    evil = LINE + json.dumps(ROW | {"prompt": "x", "rationale": "=HYPERLINK(1)", "response_b": "@SUM(1)"}).encode()
    assert lead.send("POST", f"{PATH}?format=jsonl", content=evil).json()["judgments"] == 2
    answer = lead.get("/api/v1/projects/p/export?format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="p-csv.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ",'=HYPERLINK(1)" in answer.text
    assert ",=" not in answer.text
    assert list(site.console.scratch.iterdir()) == []


def test_a_project_that_is_not_open_to_somebody_takes_and_gives_nothing(site: ConsoleSite, lead: Browser) -> None:
    other = site.as_role(Role.LEAD, name="stranger", projects=["q"])
    assert other.send("POST", f"{PATH}?format=jsonl", content=LINE).status_code == 404
    assert other.get("/api/v1/projects/p/export?format=csv").status_code == 404
    assert judgments(site) == 0
