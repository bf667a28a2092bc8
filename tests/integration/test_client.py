"""The client against the console as it is served: a project's life, files in and out, webhooks, errors."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_console import Served, served_console

from backstay.client import (
    Client,
    Conflict,
    ConsoleUnreachable,
    Forbidden,
    ImportFailed,
    Invalid,
    NotFound,
    SignedOut,
    Submission,
    check_webhook,
)
from backstay.errors import UsageError
from backstay.web.permissions import Role

SETTINGS = {"gold_share": 0.0, "repeat_share": 0.0, "votes": 1, "most_votes": 1}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_console(tmp_path, webhook_private=True) as found:
        yield found


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    return [
        {"prompt": f"Question {n}?", "response_a": f"Yes {n}", "response_b": f"No {n}", "choice": "a", "rater": "r"}
        for n in range(start, start + count)
    ]


def jsonl(path: Path, found: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def test_a_project_from_import_over_rating_to_export(served: Served, tmp_path: Path) -> None:
    with served.client(Role.LEAD) as lead, served.client(Role.RATER) as rater:
        assert lead.make_project("p", "P", "d", SETTINGS).items_made == 0
        assert lead.import_file("p", jsonl(tmp_path / "in.jsonl", rows(3)), "jsonl").items_made == 3
        assert lead.write_guidelines("p", "Be kind.").version == 1
        chosen = {}
        issued = rater.next("p")
        while (task := issued.assignment) is not None:
            assert task.guidelines_version == 1
            yes = next(response.slot for response in task.responses if response.text.startswith("Yes"))
            chosen[task.prompt[0].text] = task.responses[yes].text
            rater.judge(task, Submission.prefer(yes, over=1 - yes, rationale="It says yes."))
            issued = rater.next("p")
        assert (issued.why, rater.progress("p").done_total, len(chosen)) == ("done", 3, 3)
        exported = lead.export("p", "jsonl", tmp_path / "out.jsonl")
        found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
        assert (exported.rows, exported.left_out, exported.size_bytes) == (
            6,
            0,
            (tmp_path / "out.jsonl").stat().st_size,
        )
        ours = [row for row in found if row["rationale"] == "It says yes."]
        assert {json.loads(row["prompt"])[0]["content"]: row[f"response_{row['choice']}"] for row in ours} == chosen


def test_items_come_in_pages_and_take_scores_in_parts(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served.client(Role.LEAD) as lead:
        lead.make_project("p", "P", "d", SETTINGS)
        lead.import_file("p", jsonl(tmp_path / "in.jsonl", rows(5)), "jsonl")
        items = list(lead.items("p"))
        assert [item.id for item in items] == sorted({item.id for item in items}) and len(items) == 5
        assert list(lead.items("p", "settled")) == []
        assert [row["id"] for row in lead.pages("/projects/p/items", "items", limit=2)] == [item.id for item in items]
        monkeypatch.setattr("backstay.client.client.SCORES", 2)
        assert lead.set_scores("p", {item.id: [0.5, -0.5] for item in items}) == 5
        with pytest.raises(NotFound):
            lead.set_scores("p", {"item-none": [0.5, -0.5]})


def test_an_answer_that_is_sent_twice_under_a_key_is_stored_once(served: Served, tmp_path: Path) -> None:
    with served.client(Role.LEAD) as lead, served.client(Role.RATER) as rater:
        lead.make_project("p", "P", "d", SETTINGS)
        lead.import_file("p", jsonl(tmp_path / "in.jsonl", rows(2)), "jsonl")
        task = rater.next("p").assignment
        assert task is not None
        first = rater.judge(task, Submission.prefer(0, over=1), key="key-0000001")
        assert rater.judge(task, Submission.prefer(0, over=1), key="key-0000001") == first
        with pytest.raises(Conflict) as conflict:
            rater.judge(task, Submission.prefer(1, over=0), key="key-0000001")
        assert (conflict.value.code, rater.progress("p").done_total) == ("key_reused", 1)
        undone = rater.undo("p")
        assert undone.answer["answers"][0]["ranking"] == [[0], [1]]
        assert rater.skip(undone.assignment, "not_my_field").progress.skipped == 1


def test_a_broken_file_is_told_by_line_and_its_rejects_can_be_fetched(served: Served, tmp_path: Path) -> None:
    with served.client(Role.LEAD) as lead:
        lead.make_project("p", "P", "d", SETTINGS)
        path = jsonl(tmp_path / "in.jsonl", [*rows(2), {"prompt": "Why?"}])
        with pytest.raises(ImportFailed) as failed:
            lead.import_file("p", path, "jsonl")
        assert [problem.line for problem in failed.value.problems] == [3]
        assert failed.value.rejects is not None
        rejects = lead.fetch_rejects(failed.value.rejects, tmp_path / "rejects.jsonl")
        assert json.loads(rejects.read_text(encoding="utf-8"))["text"] == '{"prompt": "Why?"}'
        assert lead.fill_project("p") == 0
        done = lead.import_file("p", path, "jsonl", allow_partial=True)
        assert (done.judgments, done.refused, done.items_made) == (2, 1, 2)


def test_errors_have_types(served: Served, tmp_path: Path) -> None:
    with served.client(Role.RATER) as rater, Client(served.address, "bst_none") as nobody:
        with pytest.raises(SignedOut):
            nobody.me()
        with pytest.raises(Forbidden) as forbidden:
            rater.make_project("p", "P", "d")
        assert "manage_project" in forbidden.value.message
        with pytest.raises(NotFound):
            rater.progress("../../etc")
        with pytest.raises(Invalid) as invalid:
            rater.skip("x" * 40, "other")
        assert list(invalid.value.fields) == ["path.assignment"]
        with pytest.raises(NotFound):
            rater.renew("none")
        with pytest.raises(Forbidden):
            rater.export("p", "csv", tmp_path / "out.csv")
        assert not (tmp_path / "out.csv").exists()
    with pytest.raises(ConsoleUnreachable), Client("http://127.0.0.1:9", attempts=1) as away:
        away.me()


@pytest.mark.parametrize(
    "address", ["http://rate.example.org", "ftp://127.0.0.1", "127.0.0.1:8311", "http://u@127.0.0.1"]
)
def test_a_token_is_not_sent_in_the_clear(address: str) -> None:
    with pytest.raises(UsageError):
        Client(address, "bst_x")


class _Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))  # type: ignore[attr-defined]  # set below
        self.send_response(204)
        self.end_headers()
        self.server.came.set()  # type: ignore[attr-defined]  # set below

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def test_a_webhook_is_told_of_a_judgment_while_the_console_serves(served: Served, tmp_path: Path) -> None:
    server: Any = http.server.HTTPServer(("127.0.0.1", 0), _Receiver)
    server.got, server.came = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with served.client(Role.ADMIN) as admin, served.client(Role.LEAD) as lead, served.client(Role.RATER) as rater:
            hook = admin.make_webhook(f"http://127.0.0.1:{server.server_port}/x", ["judgment.created", "item.done"])
            lead.make_project("p", "P", "d", SETTINGS)
            lead.import_file("p", jsonl(tmp_path / "in.jsonl", rows(1)), "jsonl")
            task = rater.next("p").assignment
            assert task is not None
            rater.judge(task, Submission.prefer(0, over=1))
            assert server.came.wait(20)
            headers, body = server.got[0]
            event = check_webhook(str(hook.secret), headers, body)
            assert (event["type"], event["data"]["assignment"]) == ("judgment.created", task.id)
            assert {delivery.event for delivery in admin.deliveries(hook.id)} == {"judgment.created", "item.done"}
            assert [found.id for found in admin.webhooks()] == [hook.id]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
