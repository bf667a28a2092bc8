"""The inbox over HTTP: what is needed to see, what is needed to decide, and what a forged request gets."""

import asyncio
import html
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest
from approval_world import REASON, needs, token_of
from inbox_site import Client, Page, Site, inbox

from backstay.guard.approvals import Settings
from backstay.guard.inbox.lockout import MOST

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with inbox(tmp_path, Settings(webhooks=("pager",))) as made:
        yield made


@pytest.fixture
def alice(site: Site) -> Client:
    return site.client().sign_in("alice")


def votes(site: Site, approval_id: str) -> list[tuple[str, str]]:
    return [(vote.person, vote.vote) for vote in site.world.approvals.get(approval_id).votes]


def told(page: Page) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page.text))


def test_cookie_and_headers(site: Site) -> None:
    client = site.client()
    page = client.post("/approvals/sign-in", {"person": "alice", "token": token_of("alice")})
    assert (page.status, page.headers["location"]) == (303, "/approvals")
    (cookie,) = page.cookies
    assert re.fullmatch(
        r"backstay-inbox=[\w-]{43}; HttpOnly; Path=/approvals; SameSite=strict", cookie, re.IGNORECASE
    ), cookie
    site.world.ask()
    for path in ("/approvals", "/approvals/done", "/approvals/sign-in", "/approvals/nothing", "/approvals/changes"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_hold_no_inline_script_or_style(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    for path in ("/approvals", "/approvals/done", f"/approvals/{asked}", "/approvals/sign-in"):
        text = alice.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=\"/approvals/assets/)|javascript:", text)
        for asset in re.findall(r'(?:src|href)="(/approvals/assets/[^"]+)"', text):
            page = alice.get(asset)
            assert page.status == 200 and "immutable" in page.headers["cache-control"]
    assert alice.get("/approvals/assets/sessions.py").status == 404


def test_nobody_sees_anything_without_signing_in(site: Site) -> None:
    asked = site.world.ask()
    client = site.client()
    for path in ("/approvals", "/approvals/done", f"/approvals/{asked}"):
        page = client.get(path)
        assert (page.status, page.headers["location"]) == (303, f"/approvals/sign-in?next={path}")
    assert client.get("/approvals/changes").status == 401
    page = client.post(f"/approvals/{asked}/decide", {"vote": "approve"})
    assert (page.status, page.headers["location"]) == (303, f"/approvals/sign-in?next=/approvals/{asked}")
    assert votes(site, asked) == []


@pytest.mark.parametrize(
    ("after", "to"),
    [
        ("/approvals/done", "/approvals/done"),
        ("//evil.example", "/approvals"),
        ("https://evil.example/approvals", "/approvals"),
        ("/approvals/../v1/models", "/approvals"),
        ("/approvals\n/x", "/approvals"),
        ("/approvals/sign-in", "/approvals"),
    ],
)
def test_signing_in_leads_to_our_own_pages(site: Site, after: str, to: str) -> None:
    page = site.client().post("/approvals/sign-in", {"person": "alice", "token": token_of("alice"), "next": after})
    assert page.headers["location"] == to


@pytest.mark.parametrize("person", ["alice", "nobody", "", "Alice", "<script>"])
def test_wrong_token_and_unknown_name_look_alike(site: Site, person: str) -> None:
    page = site.client().post("/approvals/sign-in", {"person": person, "token": token_of("bob")})
    assert page.status == 401 and not page.cookies
    assert "No approver has this id and token." in page.text
    assert "<script>" not in page.text.replace("<script src", "")


def test_lockout(site: Site) -> None:
    client = site.client()
    for _ in range(MOST["pair"]):
        assert client.post("/approvals/sign-in", {"person": "alice", "token": "wrong"}).status == 401
    page = client.post("/approvals/sign-in", {"person": "alice", "token": token_of("alice")})
    assert page.status == 429 and not page.cookies
    assert 0 < int(page.headers["retry-after"]) <= 900
    client.sign_in("bob")


def test_sign_in_rotates_and_sign_out_ends(site: Site, alice: Client) -> None:
    before = dict(alice.cookies)
    alice.sign_in("alice")
    assert alice.cookies != before
    assert Client(site.url, before).get("/approvals").status == 303
    kept = dict(alice.cookies)
    form = alice.get("/approvals").field("form")
    assert alice.post("/approvals/sign-out", {"form": "0" * 64}).status == 403
    assert alice.get("/approvals").status == 200
    page = alice.post("/approvals/sign-out", {"form": form})
    assert page.status == 303 and "Max-Age=0" in page.cookies[0]
    assert Client(site.url, kept).get("/approvals").status == 303


def test_whoever_leaves_the_approvers_file_is_signed_out(site: Site, alice: Client) -> None:
    assert alice.get("/approvals").status == 200
    del site.world.roles["alice"]
    assert alice.get("/approvals").status == 303
    assert alice.get("/approvals/changes").status == 401


def test_page_shows_exactly_what_is_hashed(site: Site, alice: Client) -> None:
    asked = site.world.ask(args={"x": "<script>alert(1)</script>", "b": "\u202e", "l": "é" * 3, "w": "A" * 250_000})
    text = alice.get(f"/approvals/{asked}").text
    pre = text[text.index('id="rendered"') :]
    pre = pre[pre.index(">") + 1 : pre.index("</pre>")]
    assert html.unescape(re.sub(r"</?(b|mark)>", "", pre)).encode() == site.world.approvals.rendered(asked)
    assert "<script>alert" not in text


def test_list_says_who_asked_and_whether_one_may_decide(site: Site, alice: Client) -> None:
    assert "Nothing waits" in told(alice.get("/approvals"))
    first = site.world.ask(tool="mail.send", reasons=("a rule held it",))
    site.world.vote(first, "bob")
    second = site.world.ask(tool="crm.export", principal="alice", obligations=needs((1, "security")))
    page = alice.get("/approvals")
    said = told(page)
    assert page.text.index(first) < page.text.index(second)
    for words in ("mail.send", "svc-Rita", "olga", "a rule held it", "1 of 2 finance", "You may decide"):
        assert words in said, words
    assert "0 of 1 security" in said and "You asked for this" in said and "59 min left" not in said
    assert "1 h 0 min left" in said
    site.world.now_s += 3600
    assert "Nothing waits" in told(alice.get("/approvals"))


def test_more_than_a_page_waits(site: Site, alice: Client) -> None:
    asked = [site.world.ask(principal=f"p{i % 3}", tool=f"t{i}") for i in range(103)]
    first = alice.get("/approvals")
    assert "100+" in told(first)
    more = re.search(r'href="(/approvals\?after=[^"]+)"', first.text)
    assert more is not None
    second = alice.get(more[1])
    assert [one for one in asked if one in first.text] == asked[:100]
    assert [one for one in asked if one in second.text] == asked[100:]


def test_two_approve(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    page = alice.decide(asked, "approve", "checked")
    assert (page.status, page.headers["location"]) == (303, f"/approvals/{asked}")
    shown = told(alice.get(f"/approvals/{asked}"))
    assert "Your approval is recorded. It waits for more people." in shown
    assert "You approved this. You may still deny it." in shown and "“" not in shown
    assert "Your approval is recorded" not in told(alice.get(f"/approvals/{asked}")), "told once"
    bob = site.client().sign_in("bob")
    assert bob.decide(asked, "approve").status == 303
    assert site.world.state(asked) == "approved"
    done = told(bob.get("/approvals/done"))
    assert "Approved, not used yet" in done and "alice, bob" in done
    assert alice.decide(asked, "deny", "I was wrong about it").status == 303
    assert site.world.state(asked) == "denied"
    assert "denied by alice" in told(bob.get("/approvals/done"))


def test_denial_says_why(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    page = alice.decide(asked, "deny", "  \r\n ")
    assert page.status == 422 and "A denial says why" in told(page)
    assert site.world.state(asked) == "pending"
    assert alice.decide(asked, "deny", "not\r\nours").status == 303
    assert site.world.approvals.get(asked).votes[0].reason == "not\nours"


def test_a_form_sent_twice_is_one_vote(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    form = alice.form(asked) | {"vote": "approve", "reason": ""}
    clients = [Client(site.url, dict(alice.cookies)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda client: client.post(f"/approvals/{asked}/decide", form), clients))
    assert [page.status for page in pages] == [303] * 6
    assert votes(site, asked) == [("alice", "approve")]
    assert site.world.state(asked) == "pending"


@pytest.mark.parametrize(
    "change", [{"form": ""}, {"form": "0" * 64}, {"digest": "0" * 64}, {"digest": ""}, {"vote": "cancel"}, {"vote": ""}]
)
def test_a_form_that_is_not_ours_decides_nothing(site: Site, alice: Client, change: dict[str, str]) -> None:
    asked = site.world.ask()
    form = alice.form(asked) | {"vote": "approve", "reason": REASON} | change
    assert alice.post(f"/approvals/{asked}/decide", form).status == 422
    assert votes(site, asked) == []


def test_a_form_of_another_session_or_approval_decides_nothing(site: Site, alice: Client) -> None:
    asked, other = site.world.ask(), site.world.ask()
    bob = site.client().sign_in("bob")
    for form in (bob.form(asked), alice.form(other)):
        assert alice.post(f"/approvals/{asked}/decide", form | {"vote": "approve"}).status == 422
    assert votes(site, asked) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"content_type": "application/json"}, 400),
    ],
)
def test_forged_posts(site: Site, alice: Client, headers: dict[str, str], status: int) -> None:
    asked = site.world.ask()
    form = alice.form(asked) | {"vote": "approve"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    assert alice.post(f"/approvals/{asked}/decide", form, **given).status == status
    assert votes(site, asked) == []


def test_rebound_host_is_shown_nothing(site: Site, alice: Client) -> None:
    site.world.ask(tool="secret.tool")
    page = alice.get("/approvals", host="evil.example:80")
    assert page.status == 421 and "secret.tool" not in page.text


def test_reading_decides_nothing(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    form = alice.form(asked) | {"vote": "approve"}
    query = "&".join(f"{name}={value}" for name, value in form.items())
    for path in (f"/approvals/{asked}?{query}", f"/approvals/{asked}/decide?{query}", f"/approvals/{asked}/edit"):
        assert alice.get(path).status in (200, 303)
    assert votes(site, asked) == []


def test_requester_is_refused_even_with_a_form_made_by_hand(site: Site) -> None:
    asked = site.world.ask()
    rita = site.client().sign_in("rita")
    page = rita.get(f"/approvals/{asked}")
    assert "You asked for this, so you cannot decide on it." in told(page)
    assert 'id="decide"' not in page.text and 'id="edit"' not in page.text and 'id="glass"' not in page.text
    alice = site.client().sign_in("alice")
    form = alice.form(asked) | {"vote": "approve"}
    assert rita.post(f"/approvals/{asked}/decide", form).status == 422
    del site.world.roles["rita"]
    site.world.aliases = {"alice": ("svc-rita",)}
    page = alice.post(f"/approvals/{asked}/decide", form)
    assert page.status == 403 and "You cannot decide on this" in told(page)
    assert votes(site, asked) == []


def test_changed_while_looking_is_told_with_the_new_digest(site: Site, alice: Client) -> None:
    asked = site.world.ask(obligations=needs((1, "finance")))
    form = alice.form(asked) | {"vote": "approve", "reason": "typed <b>already</b>"}
    site.world.vote(asked, "bob")
    with pytest.raises(Exception, match="policy changed"):
        site.world.claim(asked, obligations=needs((2, "finance")))
    now = site.world.approvals.get(asked)
    assert now.digest != form["digest"] and str(now.state) == "pending"
    page = alice.post(f"/approvals/{asked}/decide", form)
    assert page.status == 409
    assert "This changed after you opened it" in told(page) and "typed <b>already</b>" in told(page)
    assert page.field("digest", "main") == now.digest
    assert ("alice", "approve") not in votes(site, asked)
    assert alice.decide(asked, "approve").status == 303
    assert ("alice", "approve") in votes(site, asked)


def test_expired_while_looking(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    form = alice.form(asked) | {"vote": "approve"}
    site.world.now_s += 3600
    page = alice.post(f"/approvals/{asked}/decide", form)
    assert page.status == 410 and "This expired before your decision" in told(page)
    assert 'id="decide"' not in page.text
    assert site.world.state(asked) == "expired"


def test_edit_then_others_approve(site: Site, alice: Client) -> None:
    asked = site.world.ask(obligations=needs((1, "finance")))
    form = {name: value for name, value in alice.form(asked).items() if name != "key"}
    args = '{"amount": 50, "to": "DE89"}'
    for wrong, status in (
        ("{", 422),
        ("[]", 422),
        ('{"amount": 1, "amount": 2}', 422),
        ('{"a": 9007199254740993}', 422),
    ):
        page = alice.post(f"/approvals/{asked}/edit", form | {"args": wrong})
        assert page.status == status, wrong
        assert html.escape(wrong, quote=True).replace("&quot;", "&#34;") in page.text, "what was typed is not lost"
    same = alice.post(f"/approvals/{asked}/edit", form | {"args": '{"to": "DE89", "amount": 100}'})
    assert same.status == 422 and "the same as before" in told(same)
    page = alice.post(f"/approvals/{asked}/edit", form | {"args": args})
    assert page.status == 303
    edited = page.headers["location"].rpartition("/")[2]
    assert edited != asked and site.world.approvals.get(edited).content["args"] == json.loads(args)
    shown = told(alice.get(f"/approvals/{edited}"))
    assert "What alice changed" in shown and '- ["args"]["amount"]: 100' in shown
    assert "You edited this, so you cannot decide on it." in shown
    old = alice.get(f"/approvals/{asked}")
    assert "Somebody edited this call." in told(old) and f'href="/approvals/{edited}"' in old.text
    bob = site.client().sign_in("bob")
    assert bob.post(f"/approvals/{asked}/decide", bob.form(edited) | {"vote": "approve"}).status == 422
    assert bob.decide(edited, "approve").status == 303
    assert site.world.state(edited) == "approved"


def test_edit_that_policy_forbids(tmp_path: Path) -> None:
    with inbox(tmp_path, effect="deny") as site:
        alice = site.client().sign_in("alice")
        asked = site.world.ask()
        page = alice.post(f"/approvals/{asked}/edit", alice.form(asked) | {"args": '{"amount": 999999}'})
        assert page.status == 403 and "The policy forbids this" in told(page)
        assert site.world.state(asked) == "pending"


def test_no_edit_where_nobody_would_check_it(tmp_path: Path) -> None:
    with inbox(tmp_path, rechecks=False) as site:
        alice = site.client().sign_in("alice")
        asked = site.world.ask()
        form = alice.form(asked)
        assert 'id="edit"' not in alice.get(f"/approvals/{asked}").text
        page = alice.post(f"/approvals/{asked}/edit", form | {"args": '{"amount": 1}'})
        assert page.status == 422 and "cannot run policy and scans on edits" in told(page)
        assert site.world.state(asked) == "pending"


def test_glass_is_broken_by_two_with_reasons(site: Site) -> None:
    asked = site.world.ask()
    erin, frank = (site.client().sign_in(name) for name in ("erin", "frank"))
    page = erin.get(f"/approvals/{asked}")
    form = {name: page.field(name, "glass") for name in ("form", "digest", "key")} | {"vote": "break_glass"}
    assert erin.post(f"/approvals/{asked}/decide", form | {"reason": "short"}).status == 422
    assert erin.post(f"/approvals/{asked}/decide", form | {"reason": REASON}).status == 303
    page = frank.get(f"/approvals/{asked}")
    assert "1 of 2 people have broken the glass" in told(page)
    form = {name: page.field(name, "glass") for name in ("form", "digest", "key")} | {"vote": "break_glass"}
    assert frank.post(f"/approvals/{asked}/decide", form | {"reason": REASON}).status == 303
    assert site.world.approvals.get(asked).via == "break-glass"
    assert "broken glass" in told(frank.get("/approvals/done"))


def test_being_told_of_changes(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    page = alice.get(f"/approvals/{asked}")
    stamp = re.search(r'data-stamp="(\w+)"', page.text)
    assert stamp is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(alice.get, f"/approvals/changes?about={asked}&seen={stamp[1]}")
        site.world.vote(asked, "bob")
        answer = waiting.result(20)
    assert answer.status == 200 and json.loads(answer.text)["stamp"] != stamp[1]
    fresh = re.search(r'data-stamp="(\w+)"', alice.get(f"/approvals/{asked}").text)
    assert fresh is not None and fresh[1] == json.loads(answer.text)["stamp"]


def test_link_shows_and_decides_once_for_its_person(site: Site) -> None:
    asked = site.world.ask(obligations=needs((1, "finance")))
    token = site.world.approvals.make_link(asked, "bob")
    path, anybody = f"/approvals/link/{token}", site.client()
    for _ in range(3):
        page = anybody.get(path)
        assert page.status == 200 and "bank.transfer" in told(page) and "bob" not in told(page)
    assert votes(site, asked) == []
    form = {"token": token, "reason": "", "vote": "approve"}
    assert anybody.post(path, form | {"person": "alice"}).status == 403
    assert anybody.post(path, form | {"person": "bob", "vote": "break_glass"}).status == 403
    assert anybody.post(path, form | {"person": "bob"}, origin="https://evil.example").status == 403
    assert anybody.post(path, form | {"person": "bob", "vote": "deny"}).status == 422
    assert votes(site, asked) == []
    for _ in range(2):
        page = anybody.post(path, form | {"person": "bob"})
        assert page.status == 200 and "Your approval is recorded" in told(page)
    assert votes(site, asked) == [("bob", "approve")]
    assert site.world.state(asked) == "approved"


def test_links_that_are_altered_or_over(site: Site) -> None:
    asked = site.world.ask()
    token = site.world.approvals.make_link(asked, "bob", lifetime_s=60)
    client = site.client()
    assert client.get(f"/approvals/link/{token[:-2]}xx").status == 403
    site.world.now_s += 61
    assert client.get(f"/approvals/link/{token}").status == 403


def test_database_that_is_gone_decides_nothing_and_says_so(site: Site, alice: Client) -> None:
    asked = site.world.ask()
    form = alice.form(asked) | {"vote": "approve"}
    site.world.ledger.close()
    page = alice.post(f"/approvals/{asked}/decide", form)
    assert page.status == 503 and "Nothing was done" in told(page)


def test_a_body_that_is_too_long_is_not_read(site: Site, alice: Client) -> None:
    async def send() -> int:
        async with aiohttp.ClientSession(cookies=alice.cookies) as session:
            headers = {"origin": site.url, "content-type": "application/x-www-form-urlencoded"}
            url = f"{site.url}/approvals/x/edit"
            async with session.post(url, data=io.BytesIO(b"args=" + b"x" * 2_000_001), headers=headers) as answer:
                return answer.status

    assert asyncio.run(send()) == 413


def test_unknown_approval(alice: Client) -> None:
    page = alice.get("/approvals/00000000-0000-7000-8000-000000000000")
    assert page.status == 404 and "There is no such approval" in told(page)
