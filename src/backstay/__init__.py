"""Backstay: RLHF from a rater's click to a guarded answer, with feedback treated as an attack surface."""

__version__ = "0.1.0"
