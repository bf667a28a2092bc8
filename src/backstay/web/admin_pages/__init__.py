"""The pages of admins (people, invitations, webhooks), and the lead's page of rater links. They work without script."""

from backstay.web.admin_pages import invitations, people, rater_links, webhooks

ROUTERS = (people.router, invitations.router, webhooks.router, rater_links.router)

__all__ = ["ROUTERS"]
