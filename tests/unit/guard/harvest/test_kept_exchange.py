from collections import Counter
from typing import Any

import pytest
from kept_traffic import row, said, thumb

from backstay.guard.harvest import KeptExchange, KeptRow, reasons
from backstay.guard.harvest.kept_exchange import share_of
from backstay.records import uuid7

ALL = ("denied", "held", "approved", "thumbed")


@pytest.mark.parametrize(
    ("outcome", "effects", "found"),
    [
        ("allow", ["allow", "allow"], ()),
        ("deny", ["allow"], ("denied",)),  # What could not be taken out of it.
        ("allow", ["deny", "allow"], ("denied",)),  # A tool's output that was withheld.
        ("hold", ["allow", "hold"], ("held",)),
        ("allow", ["allow", "hold"], ("approved",)),
        ("deny", ["hold", "deny"], ("denied",)),
        ("hold", ["deny", "hold"], ("denied", "held")),
    ],
)
def test_why_an_exchange_is_kept(outcome: Any, effects: Any, found: tuple[str, ...]) -> None:
    assert reasons(ALL, 0.0, "x", outcome, effects) == found
    assert reasons((), 0.0, "x", outcome, effects) == ()
    for why in found:
        assert reasons((why,), 0.0, "x", outcome, effects) == (why,)


def test_samples_are_about_the_share_and_stay_the_same() -> None:
    ids = [uuid7() for _ in range(4000)]
    taken = [reasons((), 0.1, one, "allow", ["allow"]) for one in ids]
    assert Counter(taken).keys() == {(), ("sampled",)}
    assert abs(taken.count(("sampled",)) / 4000 - 0.1) < 0.02  # Four standard deviations.
    assert taken == [reasons((), 0.1, one, "allow", ["allow"]) for one in ids]
    assert all(0 <= share_of(one) < 1 for one in ids)


def test_what_was_kept_reads_back_the_same() -> None:
    kept = said(1, "why?", "because", effect="deny")
    assert KeptExchange.from_json(kept.to_json()) == kept
    assert [one.text for one in kept.answers] == ["because"]
    assert kept.size_chars == len("why?") * 2 + len("because")


def test_the_last_thumb_of_a_principal_counts() -> None:
    kept = row(1, "why?", "because").kept
    thumbs = (thumb(1, 1, "alice"), thumb(1, -1, "bob"), thumb(1, -1, "alice"))
    assert {one.principal: one.score for one in KeptRow(kept, thumbs).latest} == {"alice": -1, "bob": -1}
