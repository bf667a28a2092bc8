"""The API as it is served: each answer of a whole project's life fits openapi.json, which is complete."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from console_site import Browser, ConsoleSite, console_site
from openapi_answers import Described

from backstay.errors import ResourceError
from backstay.feedback.importing import streaming
from backstay.feedback.importing.streaming import StagedImport
from backstay.storage.journal import head
from backstay.web.api.examples import EXAMPLES
from backstay.web.permissions import PERMISSIONS, Role

ROWS = [
    {"prompt": f"Question {n}?", "response_a": f"Yes {n}", "response_b": f"No {n}", "choice": "a", "rater": "r"}
    for n in range(4)
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
SETTINGS = {"gold_share": 0.0, "repeat_share": 0.0}
OURS = {"rating", "projects", "imports and exports", "webhooks", "about"}
"""Tags of the operations that the test of a project's life goes through."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path) as found:
        yield found


def answer_for(assignment: dict[str, Any], **more: Any) -> dict[str, Any]:
    answers = [{"dimension": name, "ranking": [[0], [1]]} for name in assignment["dimensions"]]
    return {"answers": answers, "duration_ms": 1000} | more


def test_every_answer_of_a_projects_life_is_as_described(site: ConsoleSite) -> None:
    api, lead = Described(site.browser()), site.as_role(Role.LEAD)
    rater, admin, nobody = site.as_role(Role.RATER), site.as_role(Role.ADMIN), site.browser()

    assert api.send(nobody, "GET", "/healthz", 200) == {"status": "ok"}
    assert api.send(nobody, "GET", "/me", 401)["error"]["code"] == "signed_out"
    assert set(api.send(rater, "GET", "/me", 200)["permissions"]) == set(PERMISSIONS[Role.RATER])
    new = {"id": "p", "name": "P", "dataset": "d", "settings": SETTINGS}
    assert api.send(lead, "POST", "/projects", 201, json=new)["items_made"] == 0
    assert api.send(lead, "POST", "/projects", 409, json=new)["error"]["code"] == "conflict"
    _import_and_export(api, lead)
    api.send(lead, "POST", "/projects/p/guidelines", 201, json={"text": "Be *kind*."})
    assert api.send(rater, "GET", "/projects/p/guidelines", 200)["version"] == 1
    assert api.send(lead, "POST", "/projects/p/items", 200)["items_made"] == 0
    (item,) = api.send(lead, "GET", "/projects/p/items?state=open&limit=1", 200)["items"]
    scores = {"scores": {item["id"]: [0.5, -1]}}
    assert api.send(lead, "PUT", "/projects/p/scores", 200, json=scores)["members"] == 2
    assert api.send(lead, "PUT", "/projects/p/scores", 422, json={"scores": {item["id"]: [1]}})
    _rate(api, rater)
    assert api.send(lead, "PATCH", "/projects/p", 200, json={"status": "closed"})["status"] == "closed"
    assert "settings" in api.send(lead, "GET", "/projects/p", 200)
    assert "settings" not in api.send(rater, "GET", "/projects/p", 200)
    for who in (lead, rater):
        assert [found["id"] for found in api.send(who, "GET", "/projects", 200)["projects"]] == ["p"]
    _webhooks(api, admin)

    left = {name for name, found in api.operations.items() if OURS & set(found["tags"])} - api.seen
    assert left == set()


def _import_and_export(api: Described, lead: Browser) -> None:
    path = "/projects/p/imports?format=jsonl"
    done = api.send(lead, "POST", path, 201, content=LINES)
    assert (done["judgments"], done["items_made"], done["rejects"]) == (4, 4, None)
    bad = LINES + '{"prompt": 5}\n'
    error = api.send(lead, "POST", path, 422, content=bad)["error"]
    assert (error["code"], error["refused"], error["problems"][0]["line"]) == ("import_refused", 1, 5)
    (row,) = api.send(lead, "GET", error["rejects"].removeprefix("/api/v1"), 200).splitlines()
    assert json.loads(row)["text"] == '{"prompt": 5}'
    partly = api.send(lead, "POST", f"{path}&allow_partial=true", 201, content=bad)
    assert (partly["known"], partly["judgments"], partly["refused"]) == (0, 4, 1)
    for form in ("trl", "hh-rlhf", "ultrafeedback", "argilla", "label-studio", "csv", "jsonl", "parquet"):
        assert api.send(lead, "GET", f"/projects/p/export?format={form}", 200)


def _rate(api: Described, rater: Browser) -> None:
    issued = api.send(rater, "POST", "/projects/p/assignments", 200)
    first = issued["assignment"]
    api.send(rater, "POST", f"/assignments/{first['id']}/renew", 200)
    judged = {"json": answer_for(first, rationale="As before."), "headers": {"idempotency-key": "key-00000001"}}
    receipt = api.send(rater, "POST", f"/assignments/{first['id']}/judgment", 201, **judged)
    assert api.send(rater, "POST", f"/assignments/{first['id']}/judgment", 200, **judged) == receipt
    key = {"headers": {"idempotency-key": "undo-0000001"}}
    undone = api.send(rater, "POST", "/projects/p/undo", 200, **key)
    again = api.send(rater, "POST", "/projects/p/undo", 200, **key)
    assert (again["assignment"]["id"], again["answer"]) == (undone["assignment"]["id"], undone["answer"])
    assert undone["answer"]["rationale"] == "As before."
    skipped = {"json": {"reason": "other"}, "headers": {"idempotency-key": "key-00000002"}}
    api.send(rater, "POST", f"/assignments/{undone['assignment']['id']}/skip", 201, **skipped)
    wrong = answer_for(first) | {"answers": []}
    fault = api.send(
        rater, "POST", f"/assignments/{first['id']}/judgment", 422, json=wrong, headers={"idempotency-key": "k" * 8}
    )
    assert fault["error"]["fields"][0]["place"] == "body.answers"
    assert api.send(rater, "GET", "/projects/p/progress", 200)["skipped"] == 1


def _webhooks(api: Described, admin: Browser) -> None:
    new = {"url": "https://hooks.example.org/x", "events": ["item.done"]}
    made = api.send(admin, "POST", "/webhooks", 201, json=new)
    path = f"/webhooks/{made['id']}"
    assert api.send(admin, "POST", f"{path}/secret", 200)["secret"] != made["secret"]
    assert api.send(admin, "PATCH", path, 200, json={"state": "off"})["state"] == "off"
    assert "secret" not in api.send(admin, "GET", path, 200)
    for _ in range(3):
        sent = api.send(admin, "POST", f"{path}/test", 202)
    pages = [api.send(admin, "GET", f"{path}/deliveries?limit=2", 200)]
    pages.append(api.send(admin, "GET", f"{path}/deliveries?limit=2&after={pages[0]['next']}", 200))
    assert [len(page["deliveries"]) for page in pages] == [2, 1]
    assert (pages[0]["deliveries"][0]["id"], pages[1]["next"]) == (sent["id"], None)
    api.send(admin, "POST", f"{path}/deliveries/{sent['id']}/redeliver", 202)
    assert len(api.send(admin, "GET", "/webhooks", 200)["webhooks"]) == 1
    api.send(admin, "DELETE", path, 204)
    api.send(admin, "GET", path, 404)
    private = new | {"url": "https://127.0.0.1/"}
    assert api.send(admin, "POST", "/webhooks", 422, json=private)["error"]["code"] == "target_refused"


def test_each_operation_says_who_may_call_it_what_it_answers_and_which_errors(site: ConsoleSite) -> None:
    api = Described(site.browser())
    gates = {name: found["security"] for name, found in api.operations.items()}
    assert [name for name, gate in gates.items() if not gate] == ["get_health"]
    paths = api.schema["paths"]
    assert len(api.operations) == sum(len(path) for path in paths.values())
    for path, operations in paths.items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["operationId"].isidentifier(), place
            assert operation["summary"], place
            ok = [found for status, found in operation["responses"].items() if status.startswith("2")]
            assert all(found.get("content") or "204" in operation["responses"] for found in ok), place
            schemas = [kind.get("schema") for found in ok for kind in found.get("content", {}).values()]
            assert {} not in schemas, f"{place}: no schema"
            for status in ("401", "403", "404", "422"):
                told = operation["responses"][status]["content"]["application/json"]["schema"]
                assert "Fault" in json.dumps(told), f"{place}: {status}"
            writes = method not in ("get", "head")
            assert not operation["security"] or operation["security"] == [
                {"bearer": []},
                {"session": [], "csrf": []} if writes else {"session": []},
            ]


def test_examples_fit_what_they_are_examples_of(site: ConsoleSite) -> None:
    api = Described(site.browser())
    for name, example in EXAMPLES.items():
        api.check({"$ref": f"#/components/schemas/{name}"}, example)
    with pytest.raises(jsonschema.ValidationError):
        api.check({"$ref": "#/components/schemas/Skip"}, {"reason": "tired"})


def test_a_file_in_pieces_gives_the_same_and_goes_on_after_a_server_that_died(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = site.as_role(Role.LEAD)
    for project in ("whole", "pieces"):
        new = {"id": project, "name": project, "dataset": project, "settings": SETTINGS}
        assert lead.post("/api/v1/projects", new).status_code == 201
    monkeypatch.setattr(streaming, "PIECE", 2)
    path = "/api/v1/projects/{}/imports?format=jsonl&in_pieces={}"
    whole = lead.send("POST", path.format("whole", "false"), content=LINES).json()
    added, left = StagedImport.add, [7]

    def dies(*given: Any, **named: Any) -> int:
        left[0] -= 1
        if not left[0]:
            raise ResourceError("the database is gone")
        return added(*given, **named)

    monkeypatch.setattr(StagedImport, "add", dies)
    assert lead.send("POST", path.format("pieces", "true"), content=LINES).status_code == 503
    monkeypatch.setattr(StagedImport, "add", added)
    pieces = lead.send("POST", path.format("pieces", "true"), content=LINES).json()
    assert (pieces["judgments"], pieces["items_made"], pieces["prompts"]) == (4, 4, 0)
    assert whole["judgments"] == 4
    files = [lead.get(f"/api/v1/projects/{name}/export?format=csv").content for name in ("whole", "pieces")]
    assert files[0] == files[1]


def test_a_file_that_contradicts_what_is_stored_leaves_no_piece_of_it(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read along another dimension its first records are new, and its judgments have the ids of others."""
    lead = site.as_role(Role.LEAD)
    assert (
        lead.post("/api/v1/projects", {"id": "p", "name": "P", "dataset": "d", "settings": SETTINGS}).status_code == 201
    )
    monkeypatch.setattr(streaming, "PIECE", 2)
    path = "/api/v1/projects/p/imports?format=jsonl"
    assert lead.send("POST", path, content=LINES).status_code == 201
    before = site.console.write_now(lambda unit: head(unit.connection))
    refused = lead.send("POST", f"{path}&dimension=helpful", content=LINES)
    assert refused.status_code == 422
    assert "read in another way" in refused.json()["error"]["message"]
    assert site.console.write_now(lambda unit: head(unit.connection)) == before
