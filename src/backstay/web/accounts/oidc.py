"""Signing in at another service (OpenID Connect): authorization code with PKCE, a state bound to the browser, a nonce.

An account is found by issuer and subject only, never by e-mail address: whoever can choose an address at a provider
would else choose an account here.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from sqlalchemy import delete, insert, select

from backstay.storage.account_tables import oidc_flows, oidc_identities
from backstay.storage.unit import Unit
from backstay.web.accounts import directory, invitations
from backstay.web.accounts.directory import Account, note
from backstay.web.accounts.id_tokens import Subject, verified
from backstay.web.accounts.oidc_provider import Provider
from backstay.web.accounts.one_time import new_secret, secret_sha256
from backstay.web.accounts.ports import Console
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import AccountSettings, OidcProvider
from backstay.web.permissions import Role

FLOW_S = 600
"""Seconds within which somebody has to come back from the other service."""

MAX_FLOWS = 10_000


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in that is under way at another service."""

    provider: str
    nonce: str
    verifier: str
    invitation_sha256: str | None
    next: str


class OidcSignIn:
    """Sends people to their provider and takes them back."""

    def __init__(self, console: Console, settings: AccountSettings, origin: str) -> None:
        self._console, self._settings, self._origin = console, settings, origin.rstrip("/")
        self.providers = {name: Provider(provider) for name, provider in settings.oidc.items()}

    async def start(self, name: str, after: str, invitation: str = "") -> tuple[str, str]:
        """The address to send the browser to, and the cookie that ties the answer to it."""
        provider = self._provider(name)
        metadata = await provider.metadata()
        state, browser, nonce, verifier = (new_secret() for _ in range(4))
        row = {
            "state_sha256": secret_sha256(state),
            "browser_sha256": secret_sha256(browser),
            "provider": name,
            "nonce": nonce,
            "verifier": verifier,
            "invitation_sha256": secret_sha256(invitation) if invitation else None,
            "next": after,
        }
        await self._console.write(partial(_begin, row=row))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": provider.settings.client_id,
            "redirect_uri": self._redirect_uri(name),
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{urlencode(query)}", browser

    async def finish(self, name: str, answer: Mapping[str, str], browser: str) -> tuple[Subject, Flow]:
        """Whom the provider vouches for; raises Refused for an answer that is not of this browser's sign-in."""
        provider = self._provider(name)
        flow = await self._console.write(partial(_end, state=answer.get("state", ""), browser=browser))
        if flow is None or flow.provider != name:
            raise Refused(400, "flow_over", "this sign-in is over, or was begun in another browser", cure="begin anew")
        metadata = await provider.metadata()
        said = answer.get("iss")
        if said != provider.settings.issuer and (said is not None or metadata.names_issuer):
            raise Refused(400, "issuer_mixed_up", "the answer is of another service", cure="begin anew")
        if "error" in answer or not answer.get("code"):
            raise Refused(403, "provider_refused", "the other service did not sign you in", cure="begin anew")
        raw = await provider.id_token(answer["code"], flow.verifier, self._redirect_uri(name))
        return await verified(provider, raw, flow.nonce, self._console.clock), flow

    def admit(self, unit: Unit, subject: Subject, flow: Flow) -> Account:
        """The account of a subject, or a new one by invitation or by the provider's allowed domains."""
        known = select(oidc_identities.c.account_id).where(
            oidc_identities.c.issuer == subject.issuer, oidc_identities.c.subject == subject.subject
        )
        account_id = unit.connection.execute(known).scalar()
        if account_id is None:
            return self._sign_up(unit, subject, flow)
        account = directory.get(unit.connection, account_id)
        if account.state != directory.ACTIVE:
            raise _nobody()
        return account

    def _sign_up(self, unit: Unit, subject: Subject, flow: Flow) -> Account:
        settings = self._settings.oidc[flow.provider]
        name = _free_name(unit, subject)
        if flow.invitation_sha256 is not None:
            account = invitations.accept(unit, flow.invitation_sha256, name, subject.name, None)
        elif subject.email and subject.email.rpartition("@")[2].lower() in settings.allowed_domains:
            account = directory.add(unit, name, subject.name, role_of(settings, subject), None, None)
            note(unit, account.id, "sign_up", account.id, {"provider": flow.provider, "role": account.role.value})
        else:
            raise _nobody()
        row = {
            "issuer": subject.issuer,
            "subject": subject.subject,
            "account_id": account.id,
            "created_ms": unit.now_ms,
        }
        unit.connection.execute(insert(oidc_identities).values(row))
        return account

    def _provider(self, name: str) -> Provider:
        found = self.providers.get(name)
        if found is None:
            raise Refused(404, "not_found", "there is no such way to sign in", cure="look at the sign-in page")
        return found

    def _redirect_uri(self, name: str) -> str:
        if not self._origin:
            raise Refused(503, "origin_missing", "the console does not know its own address", cure="set the origin")
        return f"{self._origin}/sign-in/with/{name}/callback"


def role_of(settings: OidcProvider, subject: Subject) -> Role:
    """The role of a new account: by the claim where it names one, else the provider's default."""
    said = subject.claims.get(settings.role_claim) if settings.role_claim else None
    values = said if isinstance(said, list) else [said]
    role = next((role for value, role in settings.roles.items() if value in values), settings.default_role)
    return role if role is not Role.ADMIN or settings.may_make_admins else Role.RATER


def _free_name(unit: Unit, subject: Subject) -> str:
    """The verified address as a name, or one beside it where that is taken or no name."""
    name = directory.normal_name(subject.email)
    try:
        directory.check_name(name)
    except Refused:
        name = f"user-{secrets.token_hex(6)}"
    return f"{name[:50]}-{secrets.token_hex(4)}" if directory.find(unit.connection, name) else name


def _begin(unit: Unit, row: dict[str, str | None]) -> None:
    unit.connection.execute(delete(oidc_flows).where(oidc_flows.c.expires_ms <= unit.now_ms))
    oldest = select(oidc_flows.c.state_sha256).order_by(oidc_flows.c.expires_ms.desc()).offset(MAX_FLOWS - 1).limit(100)
    for found in unit.connection.execute(oldest).all():
        unit.connection.execute(delete(oidc_flows).where(oidc_flows.c.state_sha256 == found.state_sha256))
    unit.connection.execute(insert(oidc_flows).values({**row, "expires_ms": unit.now_ms + FLOW_S * 1000}))


def _end(unit: Unit, state: str, browser: str) -> Flow | None:
    """The flow of a state, which is used up by it."""
    ours = (oidc_flows.c.state_sha256 == secret_sha256(state)) & (oidc_flows.c.browser_sha256 == secret_sha256(browser))
    row = unit.connection.execute(select(oidc_flows).where(ours)).first()
    if row is None or row.expires_ms <= unit.now_ms:
        return None
    unit.connection.execute(delete(oidc_flows).where(ours))
    return Flow(row.provider, row.nonce, row.verifier, row.invitation_sha256, row.next)


def _nobody() -> Refused:
    return Refused(403, "no_account", "you have no account here", cure="ask an admin for an invitation")
