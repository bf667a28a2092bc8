"""The demo's prompts and demonstrations: our own writing, shipped as package data."""

from backstay.feedback.demo.demo_data import demo_demonstrations, demo_prompts

__all__ = ["demo_demonstrations", "demo_prompts"]
