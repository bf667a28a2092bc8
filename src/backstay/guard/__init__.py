"""The guard: what stands between a model and its users, whatever the model is."""

from backstay.guard.choices import ChoiceStreams, HeldText
from backstay.guard.conversation import Message, from_openai
from backstay.guard.provenance import LeafOrigins, Provenance, origins_of
from backstay.guard.redaction import Decision, Effect, Redacted, Redaction, redact
from backstay.guard.stream import TextStream

__all__ = [
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
    "from_openai",
    "origins_of",
    "redact",
]
