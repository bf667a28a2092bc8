"""The overview counts what stands in the tables, and is counted once for many who look."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bulk_console import PROJECT
from console_site import ConsoleSite
from insight_site import insight_site
from sqlalchemy import func, select

from backstay.errors import UsageError
from backstay.feedback.collection import issue, project_of
from backstay.feedback.collection.certainty import beliefs
from backstay.feedback.collection.items import item_of
from backstay.feedback.collection.leasing import Issued
from backstay.storage.console_tables import items
from backstay.storage.tables import judgments
from backstay.storage.unit import Unit
from backstay.web.insight import sampling
from backstay.web.insight.forecast import forecast_of, rule_of, team_of
from backstay.web.insight.overview import overview_json, overview_of
from backstay.web.insight.sampling import sampled_beliefs


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with insight_site(tmp_path, judgments=300, raters=20) as made:
        yield made


def test_it_counts_what_a_walk_over_all_items_counts(site: ConsoleSite) -> None:
    with site.console.engine.connect() as connection:
        found = overview_of(connection, PROJECT, site.clock.now_ms)
        project = project_of(connection, PROJECT)
        every = [item_of(row) for row in connection.execute(select(items)).mappings()]
        stored = connection.execute(select(func.count()).select_from(judgments)).scalar_one()
    assert found.given == stored
    assert sum(judged for _, judged in found.days) == stored
    assert found.wanted == sum(item.wants for item in every if item.state == "open")
    assert found.leased == sum(item.leased for item in every)
    assert {name: n for name, n in found.items.items() if n} == {
        state: sum(item.state == state for item in every) for state in {item.state for item in every}
    }
    assert found.certain is not None
    sure = [float(beliefs([item.belief], project.settings).certainty[0]) for item in every]
    for (least, count), upper in zip(found.certain, [2.0, *(least for least, _ in found.certain)], strict=False):
        assert count == sum(least <= value < upper for value in sure)
    assert sum(count for _, count in found.certain) == len(every)
    told = overview_json(found)
    assert told["done_share"] == pytest.approx(found.items["done"] / len(every))


def test_the_forecast_wants_more_for_more_certainty(site: ConsoleSite) -> None:
    with site.console.engine.connect() as connection:
        low = forecast_of(connection, PROJECT, certainty=0.8)
        high = forecast_of(connection, PROJECT, certainty=0.98)
        project = project_of(connection, PROJECT)
        open_items = connection.execute(select(func.count()).where(items.c.state == "open")).scalar_one()
    assert low.open_items == open_items
    assert 0 < low.judgments.mean < high.judgments.mean
    assert low.judgments.low <= low.judgments.mean <= low.judgments.high
    assert low.money is not None
    assert low.money.mean == pytest.approx(project.settings.pay_per_hour * low.hours.mean)
    assert rule_of(project, None, 1).independent == 1


def test_nobody_to_vote_is_said(site: ConsoleSite) -> None:
    with site.console.engine.connect() as connection, pytest.raises(UsageError, match="nobody active"):
        team_of(project_of(connection, PROJECT), [])


def test_leases_are_counted_where_votes_are_given(site: ConsoleSite) -> None:
    """By the assignments, which are few; the items hold the same number."""

    def take(rater_id: str, unit: Unit) -> Issued:
        return issue(unit, project_of(unit.connection, PROJECT), rater_id, b"k" * 16)

    issued = [site.console.write_now(partial(take, f"r-{n:05d}")) for n in range(8)]
    with site.console.engine.connect() as connection:
        found = overview_of(connection, PROJECT, site.clock.now_ms)
        held = connection.execute(select(func.sum(items.c.leased))).scalar_one()
    asked = [one.assignment.purpose for one in issued if one.assignment is not None]
    assert 0 < found.leased == held == asked.count("vote")


@pytest.mark.parametrize("start", ["item-0", "item-8", "item-g"])
def test_of_many_items_neighbours_in_the_order_of_their_ids_are_drawn(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """From a place in the middle on, then from the beginning, and none of another state."""
    monkeypatch.setattr(sampling, "FEW", 0)
    monkeypatch.setattr(sampling, "content_id", lambda *_: start)
    are_open = items.c.state == "open"
    with site.console.engine.connect() as connection:
        rows = connection.execute(select(items.c.id, items.c.belief).where(are_open).order_by(items.c.id)).all()
        drawn = sampled_beliefs(connection, PROJECT, are_open, 20)
        every = sampled_beliefs(connection, PROJECT, are_open, len(rows) + 1)
    turned = [row for row in rows if row.id >= start] + [row for row in rows if row.id < start]
    assert len(rows) > 40
    assert drawn == [json.loads(row.belief) for row in turned[:20]]
    assert every == [json.loads(row.belief) for row in turned]
