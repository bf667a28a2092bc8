"""The overview counts what stands in the tables, and is counted once for many who look."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_console import PROJECT
from console_site import ConsoleSite
from insight_site import insight_site
from sqlalchemy import func, select

from backstay.errors import UsageError
from backstay.feedback.collection import project_of
from backstay.feedback.collection.certainty import beliefs
from backstay.feedback.collection.items import item_of
from backstay.storage.console_tables import items
from backstay.storage.tables import judgments
from backstay.web.insight.forecast import forecast_of, rule_of, team_of
from backstay.web.insight.overview import overview_json, overview_of


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
