"""Pages and assets: headers, versions, and that no template or script is inline."""

import re
from importlib.resources import files
from typing import Any

import pytest

from backstay.web.pages import FOR_EVER, Link, Pages, Visitor

RITA = Visitor("acc-1", 'Rita "<b>"', "rater", "token", (Link("rate", "Rate", "/rate"),))


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


def _text(pages: Pages, template: str, visitor: Visitor | None = RITA, **values: Any) -> str:
    return bytes(pages.page(template, visitor, **values).body).decode()


def test_the_shell_of_rating_holds_what_script_needs(pages: Pages) -> None:
    html = _text(pages, "rate", project={"id": "a&b", "name": "<i>Sky"}, sign_in="/sign-in", wanted=0)
    assert '<meta name="csrf" content="token">' in html
    assert '<meta name="account" content="acc-1">' in html
    assert 'data-project="a&amp;b"' in html
    assert "&lt;i&gt;Sky" in html and "<i>Sky" not in html and "<b>" not in html.split("<main")[0]
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_every_id_that_script_asks_for_stands_in_the_shell_or_is_made(pages: Pages) -> None:
    folder = files("backstay.web").joinpath("assets")
    scripts = {entry.name: entry.read_text() for entry in folder.iterdir() if entry.name.endswith(".js")}
    asked = {found for text in scripts.values() for found in re.findall(r'byId\("([^"]+)"\)', text)}
    html = _text(pages, "rate", project={"id": "p", "name": "p"}, sign_in="/sign-in", wanted=0)
    project = {"id": "p", "name": "p", "status": "open", "dataset": "d"}
    chosen = {"dimension": "overall", "heldout_share": 0.1}
    html += _text(pages, "govern_import", project=project, formats={}, dimensions=(), chosen=chosen, most=1)
    made = {found for text in scripts.values() for found in re.findall(r'\bid: "([^"]+)"', text)}
    assert asked <= set(re.findall(r' id="([^"]+)"', html)) | made


def test_modules_import_only_what_is_there() -> None:
    folder = files("backstay.web").joinpath("assets")
    names = {entry.name for entry in folder.iterdir()}
    for entry in folder.iterdir():
        if entry.name.endswith(".js"):
            imported = re.findall(r'from "\./([^"]+)"', entry.read_text())
            assert set(imported) <= names, entry.name


def test_nothing_is_inline() -> None:
    for entry in files("backstay.web").joinpath("templates").iterdir():
        text = entry.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", text), entry.name
    for entry in files("backstay.web").joinpath("assets").iterdir():
        if entry.name.endswith(".js"):
            assert not re.search(
                r"\.innerHTML(?! = policy)|outerHTML|insertAdjacentHTML|\beval\b|\.style\b", entry.read_text()
            )


def test_headers_of_a_page(pages: Pages) -> None:
    headers = pages.message("No", "There is no such page.", status=404).headers
    assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
    assert "trusted-types backstay" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_a_message_without_a_visitor_names_no_account(pages: Pages) -> None:
    html = _text(pages, "message", None, title="No <page>", text="Gone.", cure="", back="/")
    assert "No &lt;page&gt;" in html
    assert "csrf" not in html and "Sign out" not in html


def test_assets_are_kept_for_ever_under_their_own_version_only(pages: Pages) -> None:
    address = pages.address("rating.js")
    assert address == f"/assets/{pages.version}/rating.js"
    own, other = pages.asset(pages.version, "rating.js"), pages.asset("0" * 16, "rating.js")
    assert own is not None and other is not None
    assert own.headers["cache-control"] == FOR_EVER
    assert other.headers["cache-control"] == "no-store"
    assert own.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", ["../pages.py", "none.js", "", "rating.js/", "__init__.py"])
def test_nothing_else_is_served(pages: Pages, name: str) -> None:
    assert pages.asset(pages.version, name) is None


def test_a_template_that_names_no_asset_is_an_error(pages: Pages) -> None:
    with pytest.raises(KeyError, match=r"no asset 'rate\.css'"):
        pages.address("rate.css")


def test_the_list_of_projects(pages: Pages) -> None:
    base = {"id": "a b", "name": "Sky", "what": "", "status": "open", "left": 3, "done_today": 2}
    html = _text(
        pages, "rate_projects", projects=[base, base | {"id": "c", "status": "paused"}, base | {"id": "d", "left": 0}]
    )
    assert 'href="/rate/a%20b"' in html and "3 tasks wait" in html
    assert 'href="/rate/c"' not in html and "Paused for now" in html
    assert "Nothing left for you" in html
    assert "No project yet" in _text(pages, "rate_projects", projects=[])
