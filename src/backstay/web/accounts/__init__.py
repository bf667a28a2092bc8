"""Accounts: who may sign in, how, and what is kept of it."""
