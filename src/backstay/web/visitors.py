"""Who looks at a page, as pages show it: the name, the CSRF token, and links to what they may do."""

from fastapi import Request

from backstay.web.accounts.accounts import Found
from backstay.web.accounts.principal import Principal
from backstay.web.gate import visitor_of
from backstay.web.pages import Link, Pages, Visitor
from backstay.web.permissions import Permission

NAV: tuple[tuple[Permission, Link], ...] = (
    (Permission.RATE, Link("rate", "Rate", "/rate")),
    (Permission.REVIEW, Link("review", "Review", "/review")),
    (Permission.READ_PROJECT, Link("lead", "Projects", "/lead")),
    (Permission.MANAGE_ACCOUNTS, Link("people", "People", "/admin/accounts")),
    (Permission.MANAGE_WEBHOOKS, Link("webhooks", "Webhooks", "/admin/webhooks")),
    (Permission.PROPOSE, Link("security", "Proposals", "/security/proposals")),
    (Permission.READ_AUDIT, Link("audit", "Audit", "/security/audit")),
    (Permission.OWN_ACCOUNT, Link("account", "Account", "/account")),
)
"""The bar at the top: a link is shown to whoever has the permission."""


LINK_PROGRESS = Link("link", "Progress", "/link")
"""Shown to the rater of a link: there the completion code is."""


def pages_of(request: Request) -> Pages:
    """The pages of the application."""
    found = request.app.state.pages
    assert isinstance(found, Pages)  # noqa: S101  a mistake in setting up the application, not of a request
    return found


async def page_visitor(request: Request) -> Visitor | None:
    """Who looks at the page, or None."""
    found = await visitor_of(request)
    return None if found is None else _visitor(found)


def _visitor(found: Found) -> Visitor:
    who = found.principal
    role = "rater" if who.via == "link" else who.role.value
    return Visitor(who.account_id, who.name, role, found.csrf, _nav(who))


def _nav(who: Principal) -> list[Link]:
    found = [link for permission, link in NAV if who.may(permission)]
    return [*found, LINK_PROGRESS] if who.via == "link" else found
