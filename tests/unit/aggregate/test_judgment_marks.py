import math
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np
import pytest

from backstay.aggregate.judgment_marks import MarkCollector, mark_of, rationale_mark, seconds_of
from backstay.records import Choice, Judgment

LONG = "The first answer names its sources, the second does not."


def judgment(rationale: str = "", client: str = "", created_at: str = "") -> Judgment:
    return Judgment(id="j", task_id="t", rater_id="r", order_shown=(0, 1), choice=Choice.prefer(0, 1),
                    rationale=rationale, client=client, created_at=created_at)  # fmt: skip


def test_the_same_words_have_the_same_mark_and_short_ones_none() -> None:
    assert rationale_mark(LONG) == rationale_mark("  the FIRST answer\nnames its sources -- the second does not ")
    assert rationale_mark(LONG) != rationale_mark(LONG.replace("first", "third"))
    assert [rationale_mark(text) for text in ("", "good", "A is better!", "!?" * 100)] == [0, 0, 0, 0]


def test_marks_do_not_depend_on_the_process() -> None:
    digest = blake2b(b"web", digest_size=8).digest()
    assert mark_of("web") == int.from_bytes(digest, "big", signed=True)
    assert mark_of("\ud800") != 0


@pytest.mark.parametrize(
    "text", ["", "yesterday", "9999-12-31T23:59:59-23:59", "2026-13-01T00:00:00Z", "T", "0", "9" * 5000, "\x00T"]
)
def test_what_is_no_time_is_unknown(text: str) -> None:
    assert math.isnan(seconds_of(text))


def test_a_day_is_a_time_but_says_nothing_of_judgments_given_together() -> None:
    assert seconds_of("2026-01-01") == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    collector = MarkCollector()
    for day in ("2026-01-01", "2026-01-01T00:00:00Z"):
        collector.add(
            Judgment(id=day, task_id="t", rater_id="r", order_shown=(0, 1), choice=Choice.prefer(0, 1), created_at=day)
        )
    assert np.isnan(collector.marks().created_s).tolist() == [True, False]


def test_times_in_any_zone_are_one() -> None:
    expected = datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC).timestamp()
    for text in ("2026-01-02T03:04:05.250Z", "2026-01-02T04:04:05.250+01:00", "2026-01-02 03:04:05.250"):
        assert seconds_of(text) == expected


def test_marks_are_kept_in_order_at_24_bytes_a_judgment() -> None:
    collector = MarkCollector()
    for one in (judgment(), judgment(LONG, "web", "2026-01-02T03:04:05Z"), judgment("ok", "web", "never")):
        collector.add(one)
    marks = collector.marks()
    assert marks.rationale.tolist() == [0, rationale_mark(LONG), 0]
    assert marks.client.tolist() == [0, mark_of("web"), mark_of("web")]
    assert np.isnan(marks.created_s).tolist() == [True, False, True]
    assert sum(column.nbytes for column in (marks.rationale, marks.client, marks.created_s)) == 3 * 24
    assert marks.any
    assert not MarkCollector().marks().any
