"""Accounts of others, for admins: roles, projects, disabling, unlocking, links for a new password, tokens."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, model_validator

from backstay.feedback.collection.submission import iso_time
from backstay.storage.unit import Unit
from backstay.web.accounts import api_tokens, directory, invitations, name_lock
from backstay.web.accounts.directory import Account
from backstay.web.api.own_account import TokenOut, Tokens, token_fields
from backstay.web.api.paging import Limit, following
from backstay.web.api.texts import Body, ProjectName
from backstay.web.console import Console
from backstay.web.gate import Principal, accounts_of, allowed, console_of
from backstay.web.permissions import Permission, Role

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"])
Admin = Annotated[Principal, Depends(allowed(Permission.MANAGE_ACCOUNTS))]
Here = Annotated[Console, Depends(console_of)]
Id = Annotated[str, Path(pattern=r"^[0-9a-f-]{1,36}$")]
Projects = Annotated[list[ProjectName], Field(max_length=100)]


class AccountOut(BaseModel):
    """An account; `projects` is null where all are open to it."""

    id: str
    name: str
    display_name: str
    role: str
    projects: list[str] | None
    state: str
    rater_id: str
    created_at: str


class AccountPage(BaseModel):
    """A page of accounts by name; `next` is the `after` of the next page, null at the end."""

    accounts: list[AccountOut]
    next: str | None


class AccountChange(Body):
    """What is to be changed; what is not named stays. `projects: null` opens all of them."""

    role: Annotated[Role, Field(strict=False)] | None = None
    state: Literal["active", "disabled"] | None = None
    projects: Projects | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name role, state or projects")
        return self


class LinkOut(BaseModel):
    """A link that is shown this once: `path` behind the console's address."""

    path: str
    expires_at: str


@router.get("")
async def list_accounts(
    _: Admin,
    console: Here,
    after: Annotated[str, Query(pattern=r"^[a-z0-9._@+-]{0,64}$")] = "",
    limit: Limit = 100,
) -> AccountPage:
    """Accounts by name."""
    found = await console.read(lambda c: directory.listed(c, after, limit))
    return AccountPage(accounts=[account_out(a) for a in found], next=following(found, limit, lambda a: a.name))


@router.get("/{account}")
async def get_account(account: Id, _: Admin, console: Here) -> AccountOut:
    """One account."""
    return account_out(await console.read(lambda c: directory.get(c, account)))


@router.patch("/{account}")
async def change_account(account: Id, body: AccountChange, who: Admin, console: Here) -> AccountOut:
    """Change role, state or projects of somebody else; who is disabled is signed out at once."""
    projects = None if body.projects is None else tuple(body.projects)

    def work(unit: Unit) -> Account:
        return directory.change(
            unit,
            who,
            account,
            role=body.role,
            state=body.state,
            projects=projects,
            every_project="projects" in body.model_fields_set and projects is None,
        )

    return account_out(await console.write(work))


@router.post("/{account}/unlock", status_code=204)
async def unlock_account(account: Id, who: Admin, console: Here, request: Request) -> Response:
    """Let a name sign in again that was locked after too many failures."""
    digest = accounts_of(request).digest

    def work(unit: Unit) -> None:
        name = directory.get(unit.connection, account).name
        name_lock.unlock(unit, name_lock.name_key(digest, name))
        directory.note(unit, who, "unlock", account)

    await console.write(work)
    return Response(status_code=204)


@router.post("/{account}/reset-link", status_code=201)
async def make_reset_link(account: Id, who: Admin, console: Here, request: Request) -> LinkOut:
    """A link by which the account's holder sets a new password."""
    settings = accounts_of(request).settings
    made, secret = await console.write(lambda unit: invitations.reset(unit, settings, who, account))
    return LinkOut(path=f"/join/{secret}", expires_at=iso_time(made.expires_ms))


@router.get("/{account}/tokens")
async def list_tokens_of(account: Id, _: Admin, console: Here) -> Tokens:
    """The API tokens of an account."""
    found = await console.read(lambda c: api_tokens.listed(c, directory.get(c, account).id))
    return Tokens(tokens=[TokenOut(**token_fields(token)) for token in found])


@router.delete("/{account}/tokens/{token}", status_code=204)
async def revoke_token_of(account: Id, token: Id, who: Admin, console: Here) -> Response:
    """Revoke a token of an account."""
    await console.write(lambda unit: api_tokens.revoke(unit, who, account, token))
    return Response(status_code=204)


def account_out(account: Account) -> AccountOut:
    """An account as JSON data."""
    return AccountOut(
        id=account.id,
        name=account.name,
        display_name=account.display_name,
        role=account.role,
        projects=None if account.projects is None else list(account.projects),
        state=account.state,
        rater_id=account.rater_id,
        created_at=iso_time(account.created_ms),
    )
