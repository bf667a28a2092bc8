"""Counting again, from the assignments alone, what the tables of collecting hold as counts."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from backstay.feedback.collection import all_stats, project_of
from backstay.feedback.collection.items import item_of
from backstay.feedback.collection.tally import settled
from backstay.storage.console_tables import assignments, gold_items, items, rater_days, vote_patterns

DAY_MS = 86_400_000


def check_counts(connection: Connection, project: str = "p") -> None:
    """Recount items, gold, raters, their days, and patterns of votes."""
    rows = connection.execute(select(assignments).where(assignments.c.project == project)).all()
    stands = [row for row in rows if row.state == "judged" and row.purpose != "consistency"]
    _check_items(connection, project, rows, stands)
    _check_gold(connection, project, stands)
    held = Counter((row.rater_id, row.item_id) for row in stands)
    assert not held or max(held.values()) == 1
    most = project_of(connection, project).settings.prompts_again
    of_prompt = Counter((row.rater_id, row.prompt_id) for row in stands)
    assert not of_prompt or max(of_prompt.values()) <= most
    open_now = Counter(row.rater_id for row in rows if row.state == "open")
    assert not open_now or max(open_now.values()) == 1
    _check_raters(connection, project, rows)


def check_settled(connection: Connection, project: str = "p") -> None:
    """Every item is in the state that its votes mean under the settings of now."""
    settings = project_of(connection, project).settings
    for item in map(item_of, connection.execute(select(items).where(items.c.project == project)).mappings()):
        assert set(settings.dimensions) <= item.task_ids.keys()
        assert item == settled(item, settings)


def _check_items(connection: Connection, project: str, rows: Sequence[Any], stands: Sequence[Any]) -> None:
    votes = Counter(row.item_id for row in stands)
    leased = Counter(row.item_id for row in rows if row.state == "open" and row.purpose == "vote")
    patterns: Counter[tuple[str, str]] = Counter()
    for item in map(item_of, connection.execute(select(items).where(items.c.project == project)).mappings()):
        assert (item.votes, item.leased) == (votes[item.id], leased[item.id])
        labels: dict[str, Counter[str]] = {}
        for row in stands:
            if row.item_id == item.id:
                for name, label in json.loads(row.answer)["labels"].items():
                    labels.setdefault(name, Counter())[label] += 1
        assert item.counts == {name: dict(found) for name, found in labels.items()}
        for name, found in labels.items():
            patterns[name, ",".join(f"{label}:{n}" for label, n in sorted(found.items()))] += 1
    stored = connection.execute(select(vote_patterns).where(vote_patterns.c.project == project))
    assert {(row.dimension, row.pattern): row.n_items for row in stored if row.n_items} == dict(patterns)


def _check_gold(connection: Connection, project: str, stands: Sequence[Any]) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    for row in stands:
        for name, was_right in json.loads(row.answer)["gold"].items():
            seen[row.item_id, name] += 1
            right[row.item_id, name] += was_right
    for row in connection.execute(select(gold_items).where(gold_items.c.project == project)):
        key = (row.item_id, row.dimension)
        assert (row.exposures, row.right) == (seen[key], right[key])


def _check_raters(connection: Connection, project: str, rows: Sequence[Any]) -> None:
    days: Counter[tuple[str, int]] = Counter()
    days.update((row.rater_id, row.settled_at_ms // DAY_MS) for row in rows if row.state == "judged")
    stored = connection.execute(select(rater_days).where(rater_days.c.project == project, rater_days.c.judged != 0))
    assert {(row.rater_id, row.day): row.judged for row in stored} == dict(days)
    for stats in all_stats(connection, project):
        own = [row for row in rows if row.rater_id == stats.rater_id]
        answers = [json.loads(row.answer) for row in own if row.state == "judged"]
        assert stats.issued == len(own) and stats.judged == len(answers) == sum(stats.pace.values())
        assert stats.retracted == sum(row.state == "retracted" for row in own)
        assert stats.skipped == sum(row.state == "skipped" for row in own)
        assert stats.gold_seen == sum(len(answer["gold"]) for answer in answers)
        assert stats.gold_right == sum(sum(answer["gold"].values()) for answer in answers)
        assert stats.repeats == sum(answer["same"] is not None for answer in answers)
        assert stats.repeats_same == sum(bool(answer["same"]) for answer in answers)
        assert stats.chose_first == sum(bool(answer["first"]) for answer in answers)
        assert (stats.compared, stats.agreed) == (
            sum(answer["agreed"] is not None for answer in answers),
            sum(bool(answer["agreed"]) for answer in answers),
        )
