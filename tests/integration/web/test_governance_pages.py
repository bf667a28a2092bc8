"""The pages of those who decide, without script: forms that write once, and errors that lead back."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from governance_site import GovernanceSite, governance

from backstay.client import client
from backstay.feedback.collection import guidelines_of
from backstay.feedback.importing import ImportFormat
from backstay.web.governance_pages import imports
from backstay.web.permissions import Role

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Iterator[GovernanceSite]:
    with governance(tmp_path) as made:
        yield made


def test_a_dispute_is_settled_by_a_form_and_the_votes_come_after(site: GovernanceSite) -> None:
    item = site.dispute()[0]
    browser = site.browser(Role.REVIEWER)
    path = f"/review/p/disputes/{item}"
    page = browser.get(path)
    assert "r-ann" not in page.text and "calmer" not in page.text and 'name="round" value="0"' in page.text
    fields = {"round": "0", "answer.overall": "A>B", "reason": "right"}
    for _ in range(2):
        answer = browser.form(path, fields)
        assert answer.status_code == 303 and answer.headers["location"] == f"/review/p/settled/{item}"
    settled = browser.get(f"/review/p/settled/{item}").text
    assert "r-ann" in settled and "calmer" in settled and len(site.repository.audits("d")) == 1
    late = site.browser(Role.REVIEWER, second=True).form(path, fields | {"reason": "mine"})
    assert late.status_code == 409 and 'href="/review/p/disputes"' in late.text and "decided meanwhile" in late.text


@pytest.mark.parametrize("answer", ["", "A", "A>A", "A>C", "Z>A", "A>B>", "<b>", "bad bad"])
def test_a_verdict_that_is_none_is_told_on_a_page(site: GovernanceSite, answer: str) -> None:
    item = site.dispute()[0]
    fields = {"round": "0", "answer.overall": answer, "reason": "right"}
    told = site.browser(Role.REVIEWER).form(f"/review/p/disputes/{item}", fields)
    assert told.status_code in (400, 422) and told.headers["content-type"].startswith("text/html")
    assert "<b>" not in told.text.replace('<b id="', "") and site.repository.audits("d") == []


def test_the_votes_of_a_disputed_item_are_not_on_any_page_of_its_reviewer(site: GovernanceSite) -> None:
    item = site.dispute()[0]
    browser = site.browser(Role.REVIEWER)
    assert browser.get(f"/review/p/settled/{item}").headers["location"] == f"/review/p/disputes/{item}"
    page = browser.get(f"/lead/p/items/{item}").text
    assert "r-ann" not in page and "waits for a blind verdict" in page
    assert "r-ann" in site.browser(Role.SECURITY).get(f"/lead/p/items/{item}").text


def test_a_draft_is_refused_with_a_reason(site: GovernanceSite) -> None:
    draft = site.draft()
    browser = site.browser(Role.REVIEWER)
    assert browser.get("/review/p/drafts").headers["location"] == f"/review/p/drafts/{draft}"
    assert "<ins>" in browser.get(f"/review/p/drafts/{draft}").text
    assert browser.form(f"/review/p/drafts/{draft}", {"did": "refuse", "reason": "invented"}).status_code == 303
    assert "invented" in browser.get(f"/review/p/drafts/{draft}").text and site.repository.demonstrations("d") == []
    assert "No answer waits" in browser.get("/review/p/drafts").text


def test_guidelines_are_previewed_then_saved_once_and_never_over_somebody_elses(site: GovernanceSite) -> None:
    browser = site.browser(Role.LEAD)
    path = "/lead/p/guidelines"
    preview = browser.form(path, {"text": "# New\n\n<script>x</script> **bold**", "newest": "1", "did": "preview"})
    assert (
        "<strong>bold</strong>" in preview.text
        and "<script>x" not in preview.text
        and "Preview, not saved" in preview.text
    )
    for _ in range(2):
        assert browser.form(path, {"text": "Be calm.", "newest": "1", "did": "save"}).status_code == 303
    other = site.browser(Role.LEAD, second=True).form(path, {"text": "Mine.", "newest": "1", "did": "save"})
    assert other.status_code == 400 and "version 2 was written meanwhile" in other.text.lower()
    with site.site.console.engine.connect() as connection:
        assert (guidelines_of(connection, "p").version, guidelines_of(connection, "p").text) == (2, "Be calm.")
    compared = browser.get(f"{path}?version=2&against=1").text
    assert "From version 1 to 2" in compared and "<del>" in compared
    assert site.browser(Role.REVIEWER).form(path, {"text": "x", "newest": "2", "did": "save"}).status_code == 403


def test_settings_change_by_group_and_bad_ones_are_told(site: GovernanceSite) -> None:
    browser = site.browser(Role.LEAD)
    path = "/lead/p/settings"
    assert browser.get(path).status_code == 200
    assert (
        browser.form(
            path, {"group": "checks", "gold_share": "0.2", "gold_exposures": "7", "repeat_share": "0"}
        ).status_code
        == 303
    )
    assert (site.project.settings.gold_share, site.project.settings.gold_exposures) == (0.2, 7)
    assert site.project.settings.ties and site.project.settings.votes == 2
    assert browser.form(path, {"group": "answers", "ties": "1"}).status_code == 303
    assert site.project.settings.ties and not site.project.settings.spans
    for wrong in ({"votes": "9"}, {"votes": "x"}, {"certainty": "nan"}, {"lease_s": "-1"}):
        told = browser.form(path, {"group": "collecting", "active": "1"} | wrong)
        assert told.status_code == 400 and site.project.settings.votes == 2
    assert browser.form(path, {"group": "project", "name": "Renamed", "status": "paused"}).status_code == 303
    assert (site.project.name, site.project.status) == ("Renamed", "paused")
    assert browser.form(path, {"group": "nobody"}).status_code == 400


def test_a_project_is_made_out_of_a_data_set(site: GovernanceSite) -> None:
    browser = site.browser(Role.LEAD)
    fields = {"id": "new", "name": "New", "dataset": "d", "votes": "2", "most_votes": "4", "dimension.helpful": "1"}
    made = browser.form("/lead/new", fields)
    assert made.headers["location"] == "/lead/new"
    again = browser.form("/lead/new", fields)
    assert again.status_code == 409 and "already" in again.text
    assert browser.form("/lead/new", fields | {"id": "n2", "dataset": "nothing"}).status_code == 400
    assert browser.form("/lead/new", fields | {"id": "N 2"}).status_code == 400
    listed = browser.get("/lead").text
    assert "New" in listed and "<b>2</b> open" in listed


def test_a_project_is_made_on_a_new_data_set_that_is_empty_until_a_file_comes(site: GovernanceSite) -> None:
    browser = site.browser(Role.LEAD)
    fields = {"id": "blank", "name": "Blank", "votes": "2", "most_votes": "4", "dimension.helpful": "1"}
    for wrong in ("", " ", "d", "a\u202eb", "x" * 201):
        assert browser.form("/lead/new", fields | {"new_dataset": wrong}).status_code == 400, wrong
    made = browser.form("/lead/new", fields | {"dataset": "", "new_dataset": " fresh "})
    assert made.headers["location"] == "/lead/blank/import"
    assert "the data set <b>fresh</b>" in browser.get("/lead/blank/import").text
    assert "Import a file</a>: there is nothing to rate yet." in browser.get("/lead/blank").text


def test_the_page_of_imports_offers_every_format_and_the_project_s_own_dimension(site: GovernanceSite) -> None:
    lead = site.browser(Role.LEAD)
    fields = {"id": "kind", "name": "Kind", "dataset": "d", "dimension.helpful": "1"}
    assert lead.form("/lead/new", fields).status_code == 303
    text = lead.get("/lead/kind/import").text
    assert re.findall(r'name="format" value="([^"]+)"', text) == list(imports.FORMATS)
    assert set(imports.FORMATS) == set(get_args(ImportFormat)) == set(get_args(client.ImportFormat))
    assert "<option selected>helpful</option>" in text and 'data-most="2000000000"' in text
    tabs = {
        role: "/lead/p/import" in site.browser(role).get("/lead/p/settings").text for role in (Role.LEAD, Role.SECURITY)
    }
    assert tabs == {Role.LEAD: True, Role.SECURITY: False}


def test_gold_is_proposed_on_the_items_page_and_confirmed_on_its_own(site: GovernanceSite) -> None:
    item = site.judge("r-ann", 0).item_id
    fields = {"item": item, "dimension": "overall", "step": "set", "best": "0", "reason": "clear"}
    made = site.browser(Role.REVIEWER).form("/lead/p/gold/proposals", fields)
    path = made.headers["location"]
    assert "Take it back" in site.browser(Role.REVIEWER).get(path).text
    security = site.browser(Role.SECURITY)
    assert "proposed as best" in security.get(path).text
    assert security.form(path, {"did": "confirm", "reason": "agreed"}).status_code == 303
    assert "confirmed" in security.get(path).text and item[:14] in security.get("/lead/p/gold").text
    refused = site.browser(Role.LEAD).form(path, {"did": "refuse", "reason": "late"})
    assert refused.status_code == 409 and f'href="{path}"' in refused.text
    for wrong in ({"step": "steal"}, {"best": "x"}, {"dimension": "beauty"}, {"item": "item-none"}, {"reason": " "}):
        assert site.browser(Role.REVIEWER).form("/lead/p/gold/proposals", fields | wrong).status_code in (400, 404, 409)


def test_the_audit_tells_who_did_what_and_a_name_with_wildcards_finds_nobody(site: GovernanceSite) -> None:
    browser = site.browser(Role.SECURITY)
    lead = site.people[Role.LEAD]
    site.browser(Role.LEAD).form("/lead/p/guidelines", {"text": "Be calm.", "newest": "1", "did": "save"})
    page = browser.get(f"/security/audit?by={lead.id}&kind=console.guidelines").text
    assert page.count('class="act"') == 1 and "Lead.One" in page and "Be calm." in page
    assert browser.get("/security/audit?by=%25").status_code == 422
    assert "Nothing here" in browser.get("/security/audit?by=_____").text


def test_two_people_release_a_pair_by_forms(site: GovernanceSite) -> None:
    pair = site.quarantine()
    lead, security = site.browser(Role.LEAD), site.browser(Role.SECURITY)
    path = lead.form(f"/security/quarantine/{pair.id}", {"reason": "harmless"}).headers["location"]
    assert "Its release waits" in lead.get("/security/quarantine").text
    assert lead.form(path, {"did": "confirm", "reason": "me too"}).status_code == 409
    assert site.repository.reviews() == []
    assert security.form(path, {"did": "confirm", "reason": "read"}).status_code == 303
    assert [review.item_id for review in site.repository.reviews()] == [pair.id]


def test_forms_need_the_csrf_token(site: GovernanceSite) -> None:
    pair = site.quarantine()
    browser = site.browser(Role.LEAD)
    browser.csrf = ""
    for path in ("/lead/p/settings", "/lead/new", f"/security/quarantine/{pair.id}", "/lead/p/gold/proposals"):
        assert browser.form(path, {"reason": "x", "group": "project"}).status_code == 403, path
