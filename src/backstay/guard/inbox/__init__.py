"""The approvals inbox: pages on which people see what waits for them, and decide."""

from backstay.guard.inbox.routes import inbox_routes

__all__ = ["inbox_routes"]
