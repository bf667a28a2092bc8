"""Webhooks: events of the console, signed, to whoever an admin names, until the target confirms them."""
