"""Frozen records, their ids and hashes: the vocabulary that every other package speaks."""

from backstay.records.base import Record
from backstay.records.canonical import canonical_json, content_hash, file_sha256, sha256_hex
from backstay.records.dialogue import Demonstration, Message, Prompt, Response, Role, Split
from backstay.records.ids import content_id, uuid7
from backstay.records.judgment import Audit, Choice, Dimension, Judgment, Rater, Retraction, Span, Task
from backstay.records.pair import Finding, Pair, PairStatus, RaterTrust, Verdict
from backstay.records.settings import Settings

__all__ = [
    "Audit",
    "Choice",
    "Demonstration",
    "Dimension",
    "Finding",
    "Judgment",
    "Message",
    "Pair",
    "PairStatus",
    "Prompt",
    "Rater",
    "RaterTrust",
    "Record",
    "Response",
    "Retraction",
    "Role",
    "Settings",
    "Span",
    "Split",
    "Task",
    "Verdict",
    "canonical_json",
    "content_hash",
    "content_id",
    "file_sha256",
    "sha256_hex",
    "uuid7",
]
