"""Requests made from openapi.json, as each role and as nobody: no 500, and no answer that the description lacks."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from collection_world import fill_dataset, verdict
from console_site import ORIGIN, ConsoleSite, console_site
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.control import SkipTest
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backstay.feedback.collection import (
    ProjectSettings,
    Submission,
    create_project,
    fill_page,
    issue,
    project_of,
    submit,
)
from backstay.storage import Repository
from backstay.storage.unit import Unit
from backstay.web.accounts import api_tokens
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import PERMISSIONS, Role

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@contextlib.contextmanager
def open_site(folder: Path) -> Iterator[ConsoleSite]:
    """A console with a project of five prompts, on which nobody is held back for asking often."""
    quick = AccountSettings(api_per_s=1e6, api_burst=10**6, tokens_may_manage_accounts=True)
    with console_site(folder, quick) as site:
        fill_dataset(Repository(site.console.engine), 5)
        chosen = ProjectSettings(gold_share=0.0, repeat_share=0.0, prompts_again=5)

        def make(unit: Any) -> None:
            fill_page(unit, create_project(unit, "p", "Project", "d", chosen, "lead"))

        site.console.write_now(make)
        for rater, edit in (("r-ann", "A better answer."), ("r-ben", None)):
            _judge(site, rater, edit)
        yield site


def _judge(site: ConsoleSite, rater: str, edit: str | None) -> None:
    secret = site.console.secret

    def work(unit: Unit) -> None:
        held = issue(unit, project_of(unit.connection, "p"), rater, secret).assignment
        assert held is not None
        sent = verdict(held, 0).model_dump() | {"edit": edit and {"slot": 0, "text": edit}}
        submit(unit, held.id, rater, f"key-{held.id}", Submission.model_validate(sent), secret)

    site.console.write_now(work)


def token_of(site: ConsoleSite, role: Role) -> str:
    """An API token of a new account that may do all that its role may."""
    account = site.add(role)
    by = Principal(account.id, account.name, role, PERMISSIONS[role], account.rater_id, "session")
    scopes = sorted(PERMISSIONS[role])
    _, secret = site.console.write_now(
        lambda unit: api_tokens.make(unit, site.accounts.settings, by, "fuzz", scopes, 86_400)
    )
    return secret


def fuzz(site: ConsoleSite, examples: int, mode: GenerationMode) -> dict[str, int]:
    """Send requests to every operation; how many answers there were, by status."""
    described = site.browser().get("/api/v1/openapi.json").json()
    schema = schemathesis.openapi.from_dict(described)
    schema.app = site.app
    schema.config.generation.update(modes=[mode])
    tokens = [None, *(token_of(site, role) for role in Role)]
    there = things(site)
    seen: dict[str, int] = {}

    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()

        @seed(20_270_115)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), token=st.sampled_from(tokens), known=st.booleans())
        def send(case: Any, token: str | None, known: bool) -> None:
            if known:
                case.path_parameters = {**(case.path_parameters or {}), **_known(there, case.path_parameters)}
            headers = {"authorization": f"Bearer {token}"} if token else {}
            response = case.call(headers=headers, base_url=ORIGIN)
            case.validate_response(response, checks=CHECKS)
            seen[str(response.status_code)] = seen.get(str(response.status_code), 0) + 1

        with contextlib.suppress(SkipTest):  # An operation without parameters has nothing to get wrong.
            send()
    return seen


def things(site: ConsoleSite) -> dict[str, str]:
    """What there is, by the name that paths have for it: requests about it come further than to a 404."""
    with site.console.engine.connect() as connection:
        item = connection.exec_driver_sql("SELECT min(id) FROM items").scalar_one()
        account = connection.exec_driver_sql("SELECT min(id) FROM accounts").scalar_one()
        drafts = connection.exec_driver_sql("SELECT min(id) FROM drafts").scalar_one()
        held = connection.exec_driver_sql("SELECT max(id) FROM assignments").scalar_one()
    return {"project": "p", "item": item, "account": account, "draft": drafts, "assignment": held, "rater": "r-ann"}


def _known(there: dict[str, str], parameters: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in there.items() if name in (parameters or {})}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_breaks_the_api(tmp_path: Path, mode: GenerationMode) -> None:
    with open_site(tmp_path) as site:
        seen = fuzz(site, 4, mode)
    assert sum(seen.values()) > 100
    assert {"401", "403"} <= seen.keys()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_many_requests_do_not_break_it_either(tmp_path: Path, mode: GenerationMode) -> None:
    with open_site(tmp_path) as site:
        seen = fuzz(site, 60, mode)
    assert sum(seen.values()) > 1500, json.dumps(seen)
