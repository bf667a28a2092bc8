"""Approvals: a held tool call runs once, after enough of the right people saw exactly it, under today's policy."""

from backstay.guard.approvals.aio import AsyncApprovals
from backstay.guard.approvals.approval import Approval, Vote
from backstay.guard.approvals.asking import Current
from backstay.guard.approvals.clock import Clock
from backstay.guard.approvals.held_action import HeldAction, digest_of
from backstay.guard.approvals.links import Links
from backstay.guard.approvals.people import Directory, DirectoryFile, Identity, Person, new_token, read_directory
from backstay.guard.approvals.refusals import REASONS, Refusal
from backstay.guard.approvals.rendering import rendered, shown_json
from backstay.guard.approvals.replay import first_difference
from backstay.guard.approvals.service import Approvals, Claim
from backstay.guard.approvals.settings import Settings, read_settings
from backstay.guard.approvals.states import TERMINAL, TRANSITIONS, State
from backstay.guard.approvals.webhook import Target, WebhookWorker, is_signed, targets_of

__all__ = [
    "REASONS",
    "TERMINAL",
    "TRANSITIONS",
    "Approval",
    "Approvals",
    "AsyncApprovals",
    "Claim",
    "Clock",
    "Current",
    "Directory",
    "DirectoryFile",
    "HeldAction",
    "Identity",
    "Links",
    "Person",
    "Refusal",
    "Settings",
    "State",
    "Target",
    "Vote",
    "WebhookWorker",
    "digest_of",
    "first_difference",
    "is_signed",
    "new_token",
    "read_directory",
    "read_settings",
    "rendered",
    "shown_json",
    "targets_of",
]
