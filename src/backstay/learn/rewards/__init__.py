"""Rewards from outside (a function, a service), and our own reward served to others."""
