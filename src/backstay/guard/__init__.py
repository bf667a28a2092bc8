"""The guard: what stands between a model and its users, whatever the model is."""

from backstay.guard.call_facts import CallFacts, facts_of
from backstay.guard.choices import ChoiceStreams, HeldText
from backstay.guard.conversation import Message, from_openai
from backstay.guard.provenance import LeafOrigins, Provenance, origins_of
from backstay.guard.redaction import Decision, Effect, Redacted, Redaction, redact
from backstay.guard.stream import TextStream
from backstay.guard.tool_roles import Tool, ToolRoles, load_tool_roles

__all__ = [
    "CallFacts",
    "ChoiceStreams",
    "Decision",
    "Effect",
    "HeldText",
    "LeafOrigins",
    "Message",
    "Provenance",
    "Redacted",
    "Redaction",
    "TextStream",
    "Tool",
    "ToolRoles",
    "facts_of",
    "from_openai",
    "load_tool_roles",
    "origins_of",
    "redact",
]
