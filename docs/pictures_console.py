"""Pictures of the other pages, over the sites that the tests of governance and insight use: made up, or simulated."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from governance_site import GovernanceSite, governance, long_texts
from insight_site import insight_site, served

from backstay.feedback.collection import fill_page
from backstay.web.permissions import Role
from backstay.web.webhooks import outbox

Shoot = Callable[[Any, str], None]
WIDE, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
BETTER = """The sky is blue because air scatters short waves more than long ones: blue light reaches your eye from
every direction. At sunset the light comes a long way through the air, and the blue is gone before it arrives."""


def _file(page: Any, *choices: str) -> None:
    """Choose a file on the page of imports, with a row for each of these choices."""
    row = {
        "prompt": "Why is the sea salty?",
        "response_a": "Rivers carry salt.",
        "response_b": "Whales.",
        "rater": "r-7",
    }
    rows = [row | {"prompt": f"{row['prompt']} ({n})", "choice": choice} for n, choice in enumerate(choices, 1)]
    text = "".join(json.dumps(one) + "\n" for one in rows)
    file = {"name": "judgments-of-march.jsonl", "mimeType": "", "buffer": text.encode()}
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_text("More options").click()


def _refused(page: Any) -> None:
    _file(page, *["a", "b"] * 4, "left", *["a"] * 5, "better", "b", "")
    page.get_by_role("button", name="Import").click()
    page.wait_for_selector("#outcome .refused")


def _stored(page: Any) -> None:
    _file(page, *["a", "b", "tie"] * 9)
    page.get_by_role("button", name="Import").click()
    page.wait_for_selector("#outcome .counts")


@dataclass(frozen=True)
class Picture:
    """A page: in which site, who looks, where, and how; and what is done on it first."""

    site: str
    role: Role | None
    path: str
    height: int = 820
    look: Mapping[str, Any] = field(default_factory=dict)
    first: Callable[[Any], None] | None = None


PHONE_LOOK = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 1.5}
DARK = {"color_scheme": "dark"}
PICTURES: Mapping[str, Picture] = {
    "sign-in": Picture("governance", None, "/sign-in", 560),
    "join": Picture("governance", None, "{join}", 760),
    "account": Picture("governance", Role.LEAD, "/account", 1180),
    "rate-projects": Picture("governance", Role.RATER, "/rate", 360),
    "review": Picture("governance", Role.REVIEWER, "/review", 360),
    "dispute": Picture("governance", Role.REVIEWER, "{dispute}", 1080),
    "dispute-phone": Picture("governance", Role.REVIEWER, "{dispute}", look=PHONE_LOOK),
    "draft": Picture("governance", Role.REVIEWER, "/review/p/drafts", 1080),
    "projects": Picture("governance", Role.LEAD, "/lead", 360),
    "new-project": Picture("governance", Role.LEAD, "/lead/new", 780),
    "gold": Picture("governance", Role.LEAD, "/lead/p/gold", 520),
    "project-settings": Picture("governance", Role.LEAD, "/lead/p/settings", 1180),
    "guidelines-editor": Picture("governance", Role.LEAD, "/lead/p/guidelines", 900),
    "item": Picture("governance", Role.SECURITY, "{item}", 1180),
    "proposals": Picture("governance", Role.SECURITY, "/security/proposals", 480),
    "proposal-dark": Picture("governance", Role.SECURITY, "{proposal}", 900, DARK),
    "quarantine": Picture("governance", Role.LEAD, "/security/quarantine", 620),
    "audit": Picture("governance", Role.SECURITY, "/security/audit"),
    "people": Picture("governance", Role.ADMIN, "/admin/accounts", 780),
    "person": Picture("governance", Role.ADMIN, "{person}", 980),
    "invitations": Picture("governance", Role.ADMIN, "/admin/invitations", 680),
    "webhooks": Picture("governance", Role.ADMIN, "/admin/webhooks", 900),
    "webhook": Picture("governance", Role.ADMIN, "{webhook}", 1100),
    "people-phone": Picture("governance", Role.ADMIN, "/admin/accounts", look=PHONE_LOOK),
    "rater-links": Picture("governance", Role.LEAD, "/lead/p/links", 720),
    "link-start": Picture("governance", None, "{link}", 480),
    "not-here": Picture("governance", Role.LEAD, "/lead/nowhere", 380),
    "import": Picture("governance", Role.LEAD, "/lead/p/import", 1150, first=lambda page: _file(page, *["a"] * 240)),
    "import-refused": Picture("governance", Role.LEAD, "/lead/p/import", 820, first=_refused),
    "import-phone": Picture("governance", Role.LEAD, "/lead/p/import", look=PHONE_LOOK, first=_stored),
    "overview": Picture("insight", Role.LEAD, "/lead/synthetic", 1400),
    "overview-dark": Picture("insight", Role.LEAD, "/lead/synthetic", 820, DARK),
    "raters": Picture("insight", Role.LEAD, "/lead/synthetic/raters", 1080),
    "rater": Picture("insight", Role.LEAD, "/lead/synthetic/raters/r-00004", 1080),
    "cohorts": Picture("insight", Role.LEAD, "/lead/synthetic/cohorts", 820),
}


def pictures(browser: Any, names: Sequence[str], shoot: Shoot) -> None:
    """These pictures, site by site."""
    for site, opened in (("governance", _governance), ("insight", _insight)):
        wanted = [name for name in names if PICTURES[name].site == site]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder), browser) as (url, cookies, places):
            for name in wanted:
                _picture(browser, name, (url, cookies, places), shoot)


Opened = tuple[str, Mapping[Role, dict[str, str]], Mapping[str, str]]


def _picture(browser: Any, name: str, opened: Opened, shoot: Shoot) -> None:
    url, cookies, places = opened
    wanted = PICTURES[name]
    context = browser.new_context(**{"viewport": WIDE | {"height": wanted.height}, **wanted.look})
    if wanted.role is not None:
        context.add_cookies([cookies[wanted.role]])
    page = context.new_page()
    page.goto(url + wanted.path.format_map(places))
    if wanted.first is not None:
        wanted.first(page)
    page.wait_for_timeout(300)
    shoot(page, name)
    context.close()


@contextlib.contextmanager
def _governance(folder: Path, _: Any) -> Iterator[Opened]:
    """Disputes, a better answer, gold, proposals, quarantine, people, webhooks and links; all made up."""
    with governance(folder, prompts=4, gold=1) as made:
        made.dispute(4)
        pair = made.quarantine()
        places = _long_dispute(made) | _proposals(made, pair.id) | _admin(made) | _links(made)
        with served(made.site) as url:
            yield url, {role: _cookie(made.site, made.people[role], url) for role in Role}, places


def _long_dispute(made: GovernanceSite) -> dict[str, str]:
    long_texts(made.repository)
    made.site.console.write_now(lambda unit: fill_page(unit, made.project))
    made.draft("r-ann", BETTER)
    item = made.judge("r-ben", 1, rationale="It is easier to follow for children.").item_id
    return {"dispute": f"/review/p/disputes/{item}", "item": f"/lead/p/items/{item}"}


def _proposals(made: GovernanceSite, pair: str) -> dict[str, str]:
    with made.site.console.engine.connect() as connection:
        item = connection.exec_driver_sql("SELECT id FROM items ORDER BY id LIMIT 1").scalar_one()
    fields = {"item": item, "dimension": "overall", "step": "set", "best": "0", "reason": "The other answer is wrong."}
    place = made.browser(Role.LEAD).form("/lead/p/gold/proposals", fields).headers["location"]
    why = {"reason": "The finding is about a word in a quotation."}
    made.browser(Role.REVIEWER).form(f"/security/quarantine/{pair}", why)
    return {"proposal": place}


def _admin(made: GovernanceSite) -> dict[str, str]:
    admin, console = made.browser(Role.ADMIN), made.site.console
    for role, note in (("rater", "A rater of the evening shift"), ("reviewer", "Somebody who knows physics")):
        admin.form("/admin/invitations", {"role": role, "reach": "some", "project.p": "1", "note": note})
    chosen = {f"event.{name}": "1" for name in ("item.done", "item.disputed", "rater.paused")}
    admin.form("/admin/webhooks", {"url": "https://hooks.example.org/backstay", "note": "The team's queue"} | chosen)
    hook = admin.get("/api/v1/webhooks").json()["webhooks"][0]["id"]
    sent = [console.write_now(lambda unit: outbox.put_test(unit, hook)) for _ in range(3)]
    console.write_now(lambda unit: outbox.delivered(unit, sent[0]))
    console.write_now(lambda unit: outbox.failed(unit, sent[1], "the target answered 503", 1))
    join = admin.post("/api/v1/invitations", {"role": "rater", "projects": ["p"], "note": "A rater"}).json()["path"]
    person = made.people[Role.REVIEWER].id
    return {"webhook": f"/admin/webhooks/{hook}", "person": f"/admin/accounts/{person}", "join": join}


def _links(made: GovernanceSite) -> dict[str, str]:
    lead = made.browser(Role.LEAD)
    order = {"external_ids": ["one", "two", "three"], "wanted": 40, "holds_s": 604_800}
    links = lead.post("/api/v1/projects/p/rater-links", order).json()["links"]
    made.site.browser().form(links[0]["path"])
    lead.send("DELETE", f"/api/v1/projects/p/rater-links/{links[2]['id']}")
    return {"link": links[1]["path"]}


@contextlib.contextmanager
def _insight(folder: Path, browser: Any) -> Iterator[Opened]:
    """A project with synthetic judgments by simulated raters, and trust computed from the page."""
    with insight_site(folder) as site, served(site) as url:
        cookie = _cookie(site, site.add(Role.LEAD, "lead.one"), url)
        context = browser.new_context()
        context.add_cookies([cookie])
        page = context.new_page()
        page.goto(f"{url}/lead/synthetic/raters")
        page.click("text=Compute now")
        for _ in range(50):
            if "2 raters act as one" in page.inner_text("main"):
                break
            page.reload()
        context.close()
        yield url, {Role.LEAD: cookie}, {}


def _cookie(site: Any, account: Any, url: str) -> dict[str, str]:
    return {"name": site.accounts.cookie, "value": site.signed_in(account).cookie, "url": url}
