"""Signing in and knowing who asks: what the gate and the routes of accounts work with."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from backstay.guard.inbox.lockout import Attempts, network_of
from backstay.guard.inbox.same_origin import Site
from backstay.storage.unit import Unit
from backstay.web.accounts import api_tokens, directory, invitations, name_lock, rater_links, sessions
from backstay.web.accounts.directory import Account, note
from backstay.web.accounts.oidc import OidcSignIn
from backstay.web.accounts.one_time import secret_sha256
from backstay.web.accounts.password_rules import check_new, normal_password
from backstay.web.accounts.passwords import Passwords
from backstay.web.accounts.ports import Console
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.rate_limits import Buckets
from backstay.web.accounts.rater_links import RaterLink
from backstay.web.accounts.refusal import Refused, too_many
from backstay.web.accounts.sessions import Session
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import LINK_PERMISSIONS, Role

Digest = Callable[[bytes], str]
_WRONG = Refused(
    401, "wrong_sign_in", "no account has this name and password", cure="try again, or ask an admin for a new password"
)
_STRANGER_PER_S, _STRANGER_BURST = 5.0, 100
"""For links and tokens, which nobody can guess: only noise is bounded, and a class that begins at once gets in."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What a request tells of the browser: its address, its cookie, and what it calls itself."""

    address: str
    cookie: str
    agent: str


@dataclass(frozen=True, slots=True)
class Found:
    """Who asks; in a session also its CSRF token, and the cookie that the answer sets."""

    principal: Principal
    csrf: str = ""
    fresh_cookie: str | None = None


class Accounts:
    """Everything about accounts of one console; `digest` is a MAC under the project's key (`Ledger.digest`)."""

    def __init__(
        self,
        console: Console,
        settings: AccountSettings,
        digest: Digest,
        *,
        listens_on: str = "127.0.0.1",
        origin: str = "",
    ) -> None:
        self.console, self.settings, self.digest = console, settings, digest
        self.site = Site(listens_on, origin)
        self.cookie = "__Host-backstay" if self.site.secure else "backstay"
        self.flow_cookie = f"{self.cookie}-flow"
        self.passwords = Passwords(settings.password)
        self.oidc = OidcSignIn(console, settings, origin)
        self.attempts = Attempts()
        self.buckets = Buckets(settings.api_per_s, settings.api_burst)
        self.strangers = Buckets(_STRANGER_PER_S, _STRANGER_BURST)

    async def sign_in(self, name: str, password: str, browser: Browser) -> str:
        """A session by name and password: its cookie.

        For a wrong password, an unknown name and a disabled or locked account the work and the answer are the same.
        """
        name = directory.normal_name(name)
        if wait_s := self.attempts.wait_s(name, browser.address):
            raise too_many(wait_s)
        key = name_lock.name_key(self.digest, name)
        known, stored, locked = await self.console.read(partial(self._known, name=name, key=key))
        is_right = await self.passwords.verify(stored, _typed(password))
        if wait_s := self.attempts.wait_s(name, browser.address):
            raise too_many(wait_s)  # Others failed meanwhile: guesses sent side by side are as many as one by one.
        if known is None or not is_right or locked or known.state != directory.ACTIVE:
            self.attempts.failed(name, browser.address)
            await self.console.write(partial(self._failed, key=key))
            raise Refused(_WRONG.status, _WRONG.code, _WRONG.message, cure=_WRONG.cure or "")
        self.attempts.succeeded(name, browser.address)
        renewed = await self.passwords.hashed(_typed(password)) if stored and self.passwords.is_old(stored) else None
        opened = partial(self._opened, account_id=known.id, stored=stored, renewed=renewed, key=key, browser=browser)
        return await self.console.write(opened)

    async def accept(self, secret: str, name: str, display_name: str, password: str, browser: Browser) -> str:
        """Use an invitation or a link for a new password; the cookie of a new session."""
        now_ms = self.console.clock()
        found = await self.console.read(lambda c: invitations.look(c, secret, now_ms))
        own = await self.console.read(lambda c: invitations.name_of(c, found.account_id))
        wanted = own or directory.check_name(name)
        hashed = await self.passwords.hashed(check_new(password, wanted, *wanted.split("@"), display_name))
        sha256 = secret_sha256(secret)

        def unit(unit: Unit) -> str:
            account = invitations.accept(unit, sha256, wanted, display_name, hashed)
            name_lock.unlock(unit, name_lock.name_key(self.digest, account.name))
            return self._begun(unit, account, browser, "invitation")

        return await self.console.write(unit)

    async def change_password(self, by: Principal, old: str, new: str, address: str) -> str:
        """Another password for one's own account. Other sessions end; returns the new cookie of this one."""
        if by.via != "session":
            raise Refused(403, "session_only", "a password is changed in a session", cure="sign in")
        account = await self.console.read(lambda c: directory.get(c, by.account_id))
        if wait_s := self.attempts.wait_s(account.name, address):
            raise too_many(wait_s)
        stored = await self.console.read(lambda c: (directory.find(c, account.name) or (None, None))[1])
        if not await self.passwords.verify(stored, _typed(old)):
            self.attempts.failed(account.name, address)
            raise Refused(403, "wrong_password", "that is not the present password", cure="type it again")
        hashed = await self.passwords.hashed(check_new(new, account.name, account.display_name))

        def unit(unit: Unit) -> str:
            directory.set_password(unit, account.id, hashed)
            sessions.end_others(unit, account.id, but=by.session_id)
            note(unit, by, "change_password", account.id)
            return sessions.rotate(unit, by.session_id)

        return await self.console.write(unit)

    async def sign_in_elsewhere(
        self, name: str, answer: dict[str, str], flow_cookie: str, browser: Browser
    ) -> tuple[str, str]:
        """Come back from another service; the cookie of a new session, and where to go."""
        subject, flow = await self.oidc.finish(name, answer, flow_cookie)

        def unit(unit: Unit) -> str:
            return self._begun(unit, self.oidc.admit(unit, subject, flow), browser, f"oidc:{name}")

        return await self.console.write(unit), flow.next

    async def by_token(self, secret: str, address: str) -> Found:
        """Who a bearer is; raises Refused 401 for a token that does not hold, 429 for many of them."""
        now_ms = self.console.clock()
        found = await self.console.read(lambda c: api_tokens.find(c, secret, now_ms))
        if found is None or found[1].state != directory.ACTIVE:
            if wait_s := self.strangers.take(network_of(address)):
                raise too_many(wait_s)
            raise Refused(
                401,
                "token_refused",
                "this API token does not hold",
                cure="make a new one on the page of your account",
                headers={"www-authenticate": 'Bearer error="invalid_token"'},
            )
        token, owner = found
        if api_tokens.is_stale(token, now_ms):
            await self.console.write(partial(api_tokens.used, token_id=token.id))
        permissions = api_tokens.permissions_of(token, owner, self.settings)
        return Found(
            Principal(
                owner.id,
                owner.display_name,
                owner.role,
                permissions,
                owner.rater_id,
                "token",
                None if owner.projects is None else frozenset(owner.projects),
                token_id=token.id,
            )
        )

    async def by_cookie(self, cookie: str) -> Found | None:
        """Who is signed in with a cookie, or None; the session is kept up."""
        now_ms = self.console.clock()
        found = await self.console.read(lambda c: self._by_cookie(c, cookie, now_ms))
        if found is None:
            return None
        session, principal = found
        fresh = None
        if session.to_write:
            fresh = await self.console.write(lambda unit: sessions.keep_up(unit, self.settings.session, cookie))
        return Found(principal, self.csrf_of(session.id), fresh)

    def csrf_of(self, session_id: str) -> str:
        """What a request that writes must bring back: it holds for this session only."""
        return self.digest(b"backstay.csrf\0" + session_id.encode())

    def is_ours(self, session_id: str, given: str) -> bool:
        """Whether this is the CSRF token of a session."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.csrf_of(session_id).encode())

    def check_rate(self, principal: Principal) -> None:
        """Raises Refused 429 for a principal that asks too often; each token has a bucket of its own."""
        if wait_s := self.buckets.take(principal.token_id or principal.account_id):
            raise too_many(wait_s)

    async def setup_secret(self) -> str | None:
        """The secret of the link that makes the first admin (`/join/SECRET`); None once there is an account."""
        return await self.console.write(invitations.setup)

    def close(self) -> None:
        """End the threads that hash."""
        self.passwords.close()

    def _known(self, connection: Connection, name: str, key: str) -> tuple[Account | None, str | None, bool]:
        found = directory.find(connection, name)
        locked = name_lock.is_locked(connection, key, self.console.clock())
        return (*(found or (None, None)), locked)

    def _failed(self, unit: Unit, key: str) -> None:
        if name_lock.failed(unit, self.settings, key):
            unit.note("console.sign_in", {"by": "system", "what": "locked", "name_digest": key})

    def _opened(
        self, unit: Unit, account_id: str, stored: str | None, renewed: str | None, key: str, browser: Browser
    ) -> str:
        """Begin a session, unless the account has changed while its password was checked."""
        account = directory.get(unit.connection, account_id)
        now = directory.find(unit.connection, account.name)
        if account.state != directory.ACTIVE or now is None or now[1] != stored:
            raise Refused(_WRONG.status, _WRONG.code, _WRONG.message, cure=_WRONG.cure or "")
        if renewed is not None:
            directory.set_password(unit, account_id, renewed)
        name_lock.unlock(unit, key)
        return self._begun(unit, account, browser, "password")

    def _begun(self, unit: Unit, account: Account, browser: Browser, how: str) -> str:
        session_id, cookie = sessions.begin(
            unit, self.settings.session, account_id=account.id, browser=browser.agent, replaces=browser.cookie
        )
        unit.note("console.sign_in", {"by": account.id, "what": "sign_in", "how": how, "session": session_id})
        return cookie

    def _by_cookie(self, connection: Connection, cookie: str, now_ms: int) -> tuple[Session, Principal] | None:
        session = sessions.find(connection, self.settings.session, cookie, now_ms)
        if session is None:
            return None
        if session.link_id is not None:
            link = rater_links.find(connection, session.link_id, now_ms)
            return None if link is None else (session, _of_link(link, session))
        account = directory.get(connection, session.account_id or "")
        return (session, _of_account(account, session)) if account.state == directory.ACTIVE else None


def _of_account(account: Account, session: Session) -> Principal:
    return Principal(
        account.id,
        account.display_name,
        account.role,
        account.permissions,
        account.rater_id,
        "session",
        None if account.projects is None else frozenset(account.projects),
        session_id=session.id,
    )


def _of_link(link: RaterLink, session: Session) -> Principal:
    return Principal(
        f"link:{link.id}",
        "Rater",
        Role.RATER,
        LINK_PERMISSIONS,
        link.rater_id,
        "link",
        frozenset({link.project}),
        session_id=session.id,
        link_id=link.id,
    )


def _typed(password: str) -> str:
    """A password as it is hashed; one that cannot be a password is checked like a wrong one."""
    try:
        return normal_password(password)
    except Refused:
        return ""
