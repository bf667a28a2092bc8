"""From production into the loop: what is kept, under which redaction, and what is made of it."""

from backstay.guard.harvest.keeper import Keeper
from backstay.guard.harvest.kept_exchange import KeptDecision, KeptExchange, KeptRow, Thumb, Turn, reasons
from backstay.guard.harvest.redacting import Redactor, Unredactable
from backstay.guard.harvest.settings import HarvestSettings
from backstay.guard.harvest.store import HarvestStore

__all__ = [
    "HarvestSettings",
    "HarvestStore",
    "Keeper",
    "KeptDecision",
    "KeptExchange",
    "KeptRow",
    "Redactor",
    "Thumb",
    "Turn",
    "Unredactable",
    "reasons",
]
