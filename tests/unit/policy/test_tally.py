from backstay.policy import tally
from backstay.policy.tally import OTHERS, Tallies


def test_all_are_counted_and_the_first_kept() -> None:
    counts = Tallies(keep=2)
    for n in range(5):
        counts.add("b" if n % 2 else "a", f"d{n}")
    assert counts.as_json() == {
        "a": {"count": 3, "examples": ["d0", "d2"]},
        "b": {"count": 2, "examples": ["d1", "d3"]},
    }
    assert counts.total == 5
    assert counts["never"].count == 0


def test_names_beyond_the_bound_are_counted_together() -> None:
    counts = Tallies(keep=1)
    for n in range(tally.MAX_NAMES + 3):
        counts.add(f"n{n}", "x")
    assert len(counts.ranked()) == tally.MAX_NAMES + 1
    assert counts[OTHERS].count == 3
    assert counts.total == tally.MAX_NAMES + 3
