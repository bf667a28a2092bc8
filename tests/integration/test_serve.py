"""`backstay serve` as people start it: the address, the first admin's link, the demo, and how it ends."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bulk_console import fill_console
from served_console import served_console
from sqlalchemy import inspect, text

from backstay.pipeline.project import Project


@contextlib.contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command, once it has said where it is."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKSTAY_")}
    command = [sys.executable, "-m", "backstay.cli", "serve", "--port", "0", "--json", *options]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=30)) as connection:
        connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, b"", headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_an_empty_project_gets_a_link_for_its_first_admin(tmp_path: Path) -> None:
    Project.create(tmp_path, "")
    (tmp_path / "console.yaml").write_text("sweep_s: 1.5\n", encoding="utf-8")
    with started(tmp_path) as (_, said):
        assert said["setup"].startswith(f"{said['address']}/join/")
        assert fetch(f"{said['address']}/api/v1/healthz")[::2] == (200, '{"status":"ok"}')
        status, headers, page = fetch(said["setup"])
        assert (status, "<form" in page) == (200, True)
        assert "default-src 'none'" in headers["content-security-policy"]
    assert (tmp_path / ".backstay" / "backstay.db").is_file()


def test_the_demo_leads_to_a_task_and_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, "--demo") as (_, said):
        address = said["address"]
        assert said["setup"].startswith(f"{said['address']}/join/")
        assert fetch(said["demo"])[0] == 200
        own = {"origin": address, "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
        status, headers, _ = fetch(said["demo"], "POST", **own)
        assert status == 303
        cookie = headers["set-cookie"].partition(";")[0]
        found = re.search(r'name="csrf" content="([0-9a-f]+)"', fetch(f"{address}/rate/demo", cookie=cookie)[2])
        assert found is not None
        rating = {"cookie": cookie, "origin": address, "sec-fetch-site": "same-origin", "x-backstay-csrf": found[1]}
        status, _, body = fetch(f"{address}/api/v1/projects/demo/assignments", "POST", **rating)
        assert (status, len(json.loads(body)["assignment"]["responses"])) == (200, 2)
        guidelines = json.loads(fetch(f"{address}/api/v1/projects/demo/guidelines", cookie=cookie)[2])
        assert "simulated" in guidelines["text"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "192.0.2.1"], "no origin is set"),
        (["--config", "wrong.yaml"], "nonsense"),
        ([], "no backstay.yaml"),
    ],
)
def test_mistakes_are_told_with_exit_code_2(tmp_path: Path, options: list[str], said: str) -> None:
    if options:
        Project.create(tmp_path, "")
    (tmp_path / "wrong.yaml").write_text("nonsense: 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "backstay.cli", "serve", *options]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_database_knows_how_its_tables_are_filled(tmp_path: Path) -> None:
    """SQLite looks when it is told to; without, it chooses among the indexes of a large project by chance."""
    fill_console(tmp_path / "console.db", 300, 20)
    with served_console(tmp_path) as served:
        counted = "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE tbl = 'judgments'"
        deadline = time.monotonic() + 20
        found = None
        while found is None and time.monotonic() < deadline:
            with served.console.engine.connect() as connection:
                if inspect(connection).has_table("sqlite_stat1"):
                    found = connection.execute(text(counted)).scalars().first()
            time.sleep(0.02)
        with served.console.engine.connect() as connection:
            assert found == connection.execute(text("SELECT count(*) FROM judgments")).scalar_one()
