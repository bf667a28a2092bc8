"""Who sent a request, and what they may do."""

from dataclasses import dataclass
from typing import Literal

from backstay.web.accounts.refusal import Refused
from backstay.web.permissions import PERMISSIONS, Permission, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is signed in, by a session, an API token or a rater link."""

    account_id: str
    """Of the account; of a link, `link:` and its id."""

    name: str
    role: Role
    permissions: frozenset[Permission]
    rater_id: str | None
    """As whom they rate, or did before they had another role or this token: nobody decides on their own work."""

    via: Literal["session", "token", "link"]
    projects: frozenset[str] | None = None
    """The projects that are open to them; None: all."""

    session_id: str = ""
    token_id: str = ""
    link_id: str = ""

    @property
    def project(self) -> str | None:
        """The one project of a rater link; None for others."""
        return next(iter(self.projects or ()), None) if self.via == "link" else None

    def may(self, permission: Permission) -> bool:
        """Whether they may do this."""
        return permission in self.permissions

    @property
    def knows_gold(self) -> bool:
        """Whether their role sees which items are gold, be it not through this token."""
        return not PERMISSIONS[self.role].isdisjoint((Permission.PROPOSE, Permission.CONFIRM))

    def may_enter(self, project: str) -> bool:
        """Whether a project is open to them."""
        return self.projects is None or project in self.projects

    def check_enter(self, project: str) -> None:
        """Raises Refused 404 for a project that is not open to them, as for one that does not exist."""
        if not self.may_enter(project):
            raise Refused(404, "not_found", "there is no such project", cure="look at the list of projects")

    def check_unbound(self) -> None:
        """Raises Refused 403 for who is bound to some projects: a new one could hold any data set."""
        if self.projects is not None:
            raise Refused(403, "bound", "your account is for certain projects only", cure="ask an admin")
