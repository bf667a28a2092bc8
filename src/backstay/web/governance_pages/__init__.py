"""The pages of those who decide: reviewers, leads and security. They work without script."""

from backstay.web.governance_pages import gold, imports, items, projects, review, security
from backstay.web.governance_pages.frame import told

ROUTERS = (review.router, projects.router, gold.router, imports.router, items.router, security.router)

__all__ = ["ROUTERS", "told"]
