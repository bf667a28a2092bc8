"""Policies: rules with typed conditions, decisions that fail closed, history, tests and lint; no model, no network."""

from backstay.policy.cases import CaseResult, run_cases
from backstay.policy.cel import CelExprEngine, CelRustEngine, ConditionEngine, ConditionError, ConditionRefused
from backstay.policy.engine import PolicyBundle, load_policies
from backstay.policy.history import Histories, SessionHistory, WindowedCounter, counted_values
from backstay.policy.lint import Lint, lint
from backstay.policy.obligations import (
    Annotate,
    Canary,
    Limit,
    Mask,
    Obligation,
    Redact,
    RequireApproval,
    Route,
    merge_obligations,
)
from backstay.policy.points import POINTS, Point
from backstay.policy.request import Decision, Request, RuleError, ShadowResult
from backstay.policy.rules import Counter, PolicyFile, Rule, parse_policy, read_policy

__all__ = [
    "POINTS",
    "Annotate",
    "Canary",
    "CaseResult",
    "CelExprEngine",
    "CelRustEngine",
    "ConditionEngine",
    "ConditionError",
    "ConditionRefused",
    "Counter",
    "Decision",
    "Histories",
    "Limit",
    "Lint",
    "Mask",
    "Obligation",
    "Point",
    "PolicyBundle",
    "PolicyFile",
    "Redact",
    "Request",
    "RequireApproval",
    "Route",
    "Rule",
    "RuleError",
    "SessionHistory",
    "ShadowResult",
    "WindowedCounter",
    "counted_values",
    "lint",
    "load_policies",
    "merge_obligations",
    "parse_policy",
    "read_policy",
    "run_cases",
]
