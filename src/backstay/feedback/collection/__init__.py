"""Collecting judgments from people: projects, items, assignments, answers, and what they add up to on the way."""

from backstay.feedback.collection.items import Item, fill_page, find_item
from backstay.feedback.collection.leasing import Assignment, Issued, expire, find_assignment, issue
from backstay.feedback.collection.progress import Progress, progress_from, progress_of
from backstay.feedback.collection.project import (
    Guidelines,
    Project,
    ProjectSettings,
    all_projects,
    change_project,
    create_project,
    guidelines_of,
    project_of,
    write_guidelines,
)
from backstay.feedback.collection.raters import RaterStats, all_stats, stats_of
from backstay.feedback.collection.rejection import Rejected
from backstay.feedback.collection.submission import Submission
from backstay.feedback.collection.submitting import Taken, renew, skip, submit
from backstay.feedback.collection.undoing import Undone, last_judged, undo

__all__ = [
    "Assignment",
    "Guidelines",
    "Issued",
    "Item",
    "Progress",
    "Project",
    "ProjectSettings",
    "RaterStats",
    "Rejected",
    "Submission",
    "Taken",
    "Undone",
    "all_projects",
    "all_stats",
    "change_project",
    "create_project",
    "expire",
    "fill_page",
    "find_assignment",
    "find_item",
    "guidelines_of",
    "issue",
    "last_judged",
    "progress_from",
    "progress_of",
    "project_of",
    "renew",
    "skip",
    "stats_of",
    "submit",
    "undo",
    "write_guidelines",
]
