"""Puts accounts into the application: who asks, the routes about it, and refusals as pages or JSON."""

from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from backstay.errors import BackstayError
from backstay.web import account_pages, admin_pages, link_pages, sign_in_pages
from backstay.web.accounts.accounts import Accounts
from backstay.web.accounts.refusal import Refused
from backstay.web.api import accounts, audit, invitations, own_account, rater_links
from backstay.web.console import Console
from backstay.web.faults import fault_response
from backstay.web.gate import CookieRenewal
from backstay.web.governance_pages.frame import sentence
from backstay.web.pages import Pages, see
from backstay.web.visitors import page_visitor, pages_of

ROUTERS: tuple[APIRouter, ...] = (
    own_account.router,
    accounts.router,
    invitations.router,
    rater_links.router,
    audit.router,
    sign_in_pages.router,
    account_pages.router,
    link_pages.router,
    *admin_pages.ROUTERS,
)


def install_access(app: FastAPI, console: Console) -> Accounts:
    """Set the application's accounts and pages; its routers must ask the gate."""
    settings = console.settings
    found = Accounts(
        console, settings.accounts, console.ledger.digest, listens_on=settings.host, origin=settings.origin
    )
    app.state.accounts = found
    if not hasattr(app.state, "pages"):
        app.state.pages = Pages()
    app.add_middleware(CookieRenewal, cookie=found.cookie, secure=found.site.secure)
    app.add_exception_handler(Refused, _refused)
    return found


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    if request.url.path.startswith("/api/"):
        return fault_response(error.status, error.code, error.message, error.cure or "", headers=error.headers)
    if error.code == "signed_out":
        path = request.url.path if request.method == "GET" else "/"
        return see(f"{sign_in_pages.SIGN_IN}?next={quote(path, safe='/')}")
    return await _told(request, error)


async def _told(request: Request, error: Refused) -> Response:
    """A page that says it; where looking up who asks was refused or failed itself, as for nobody."""
    try:
        visitor = await page_visitor(request)
    except BackstayError:
        visitor = None
    title = {403: "Not allowed", 404: "Not here"}.get(error.status, "Nothing was done")
    back, cure = getattr(error, "back", "/"), sentence(error.cure or "")
    answer = pages_of(request).message(
        title, sentence(error.message), status=error.status, visitor=visitor, cure=cure, back=back
    )
    answer.headers.update(error.headers)
    return answer
