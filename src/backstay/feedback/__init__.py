"""Where judgments come from: demo prompts, tasks and gold items, the stated gold rule, simulated raters."""

from backstay.feedback.audits import audit_questions, read_audits
from backstay.feedback.demo import demo_demonstrations, demo_prompts
from backstay.feedback.gold import GoldScore, gold_score
from backstay.feedback.refusal import complies_anyway, is_refusal
from backstay.feedback.settings import PoolSettings, RateSettings, with_liars
from backstay.feedback.simulated import rater_kinds, simulate_judgments, simulated_raters
from backstay.feedback.tasks import TaskBatch, assign, pair_tasks

__all__ = [
    "GoldScore",
    "PoolSettings",
    "RateSettings",
    "TaskBatch",
    "assign",
    "audit_questions",
    "complies_anyway",
    "demo_demonstrations",
    "demo_prompts",
    "gold_score",
    "is_refusal",
    "pair_tasks",
    "rater_kinds",
    "read_audits",
    "simulate_judgments",
    "simulated_raters",
    "with_liars",
]
