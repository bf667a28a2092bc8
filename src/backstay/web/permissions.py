"""Who may do what, as data: five roles, what each may do, and what a rater link may."""

from enum import StrEnum


class Permission(StrEnum):
    """One thing that a route asks for."""

    RATE = "rate"
    REVIEW = "review"
    READ_PROJECT = "read_project"
    READ_RATERS = "read_raters"
    MANAGE_PROJECT = "manage_project"
    MANAGE_RATERS = "manage_raters"
    EXPORT = "export"
    PROPOSE = "propose"
    CONFIRM = "confirm"
    READ_AUDIT = "read_audit"
    MANAGE_ACCOUNTS = "manage_accounts"
    MANAGE_WEBHOOKS = "manage_webhooks"
    OWN_ACCOUNT = "own_account"


class Role(StrEnum):
    """What an account is for."""

    RATER = "rater"
    REVIEWER = "reviewer"
    LEAD = "lead"
    SECURITY = "security"
    ADMIN = "admin"


_P = Permission
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.RATER: frozenset({_P.RATE, _P.OWN_ACCOUNT}),
    Role.REVIEWER: frozenset({_P.RATE, _P.REVIEW, _P.READ_PROJECT, _P.PROPOSE, _P.OWN_ACCOUNT}),
    Role.LEAD: frozenset(_P) - {_P.READ_AUDIT, _P.MANAGE_ACCOUNTS, _P.MANAGE_WEBHOOKS},
    Role.SECURITY: frozenset(
        {_P.READ_PROJECT, _P.READ_RATERS, _P.EXPORT, _P.PROPOSE, _P.CONFIRM, _P.READ_AUDIT, _P.OWN_ACCOUNT}
    ),
    Role.ADMIN: frozenset({_P.READ_PROJECT, _P.READ_AUDIT, _P.MANAGE_ACCOUNTS, _P.MANAGE_WEBHOOKS, _P.OWN_ACCOUNT}),
}
"""What an account of a role may do."""

LINK_PERMISSIONS = frozenset({Permission.RATE})
"""What a rater link may do, in its one project."""

BEYOND_PROJECTS = frozenset({Permission.READ_AUDIT, Permission.MANAGE_ACCOUNTS, Permission.MANAGE_WEBHOOKS})
"""What is not of one project. An account that is bound to certain projects has none of it: it could unbind itself."""

TOKEN_NEVER = frozenset({Permission.MANAGE_ACCOUNTS})
"""What no API token may do unless the settings say otherwise: a stolen token must not make accounts."""
