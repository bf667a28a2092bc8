"""Settings of accounts and sign-in."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.records import Settings
from backstay.web.permissions import Role

Positive = Annotated[int, Field(gt=0)]


class PasswordSettings(Settings):
    """How passwords are hashed (argon2id, RFC 9106). A change takes effect at each account's next sign-in."""

    memory_kib: int = Field(65_536, ge=8, le=4_194_304)
    """Memory of one hash, KiB."""

    passes: int = Field(3, ge=1, le=100)
    """Passes over the memory."""

    lanes: int = Field(1, ge=1, le=64)
    """Lanes (threads) of one hash."""

    at_once: int = Field(2, ge=1, le=64)
    """Hashes computed at the same time: their memory together is `at_once` x `memory_kib`."""

    waiting: int = Field(64, ge=0, le=10_000)
    """Attempts that may wait for their turn; more are told to come back later."""


class SessionSettings(Settings):
    """How long somebody stays signed in."""

    idle_s: Positive = 7_200
    """Seconds without a request after which a session ends."""

    absolute_s: Positive = 43_200
    """Seconds after which a session ends, however much it is used."""

    rotate_s: Positive = 900
    """Seconds after which a session gets a new cookie."""

    grace_s: int = Field(10, ge=0, le=120)
    """Seconds for which the old cookie is still good once the new one was seen: for requests under way."""

    most: int = Field(10, ge=1, le=1000)
    """Sessions of one account; the one that was used longest ago makes way."""


class LinkSettings(Settings):
    """Links for raters without an account."""

    second_browser: Literal["move", "refuse"] = "refuse"
    """What a link does in a second browser while the first is still at work: move the session there, or refuse."""

    most_s: Positive = 2_592_000
    """The longest that a link may hold, seconds."""


class OidcProvider(Settings):
    """Another service at which people sign in (OpenID Connect)."""

    title: str = Field(min_length=1, max_length=60)
    """What the button says."""

    issuer: str = Field(min_length=1, max_length=400)
    """The issuer, exactly as its own metadata says it."""

    client_id: str = Field(min_length=1, max_length=400)
    """Who we are there."""

    client_secret: str = Field("", max_length=1000, repr=False)
    """The secret of the client; empty for a public client."""

    allowed_domains: tuple[str, ...] = ()
    """Domains whose people get an account at their first sign-in, if the provider has verified their e-mail address.
    Empty: by invitation only."""

    default_role: Role = Role.RATER
    """The role of those accounts."""

    role_claim: str = Field("", max_length=200)
    """A claim of the ID token whose value names the role of a new account; off when empty."""

    roles: dict[str, Role] = Field(default_factory=dict)
    """Role by value of that claim."""

    may_make_admins: bool = False
    """Whether the claim or the default may make an admin."""

    @model_validator(mode="after")
    def _no_admin_by_chance(self) -> Self:
        if not self.may_make_admins and Role.ADMIN in {self.default_role, *self.roles.values()}:
            raise ValueError("role admin for new accounts needs may_make_admins: true")
        return self


class AccountSettings(Settings):
    """Everything about accounts."""

    proxies: int = Field(0, ge=0, le=10)
    """Proxies of yours in front of the console, each of which appends the address that it saw to X-Forwarded-For.
    0: nobody's word is taken for it, and addresses are those of the socket."""

    password: PasswordSettings = PasswordSettings()
    """Hashing of passwords."""

    session: SessionSettings = SessionSettings()
    """Sessions."""

    link: LinkSettings = LinkSettings()
    """Rater links."""

    oidc: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")], OidcProvider] = Field(default_factory=dict)
    """Providers by a short name, which stands in addresses."""

    invitation_s: Positive = 259_200
    """Seconds for which an invitation or a link for a new password holds."""

    token_most_s: Positive = 31_536_000
    """The longest that an API token may hold, seconds."""

    tokens_may_manage_accounts: bool = False
    """Whether an admin may make an API token with manage_accounts."""

    lock_failures: int = Field(30, ge=3, le=10_000)
    """Failed sign-ins in one name within an hour, from wherever, after which the name is locked."""

    lock_s: Positive = 900
    """Seconds for which it is locked."""

    api_per_s: float = Field(20.0, gt=0)
    """Requests a second that one principal may make in the long run."""

    api_burst: int = Field(100, ge=1)
    """Requests that it may make at once."""
