import pytest

from backstay.guard.approvals import REASONS, Refusal, State
from backstay.guard.inbox.wording import (
    MOST_IN_A_LIST,
    STATES,
    brief,
    cure_of,
    duration,
    moment,
    origins,
    sentence,
    shown,
    title_of,
)


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (-5, "0 s"),
        (999, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_599_999, "59 min"),
        (3_600_000, "1 h 0 min"),
        (86_399_000, "23 h 59 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_duration(milliseconds: int, words: str) -> None:
    assert duration(milliseconds) == words


def test_moment() -> None:
    assert moment(1_800_000_000_999) == "2027-01-15 08:00:00 UTC"


def test_untrusted_text_hides_nothing_and_stays_on_its_line() -> None:
    assert shown("a\u202eb\nc\x00 p\u0430ypal") == "a\\u202eb\\nc\\u0000 p\\u0430ypal"


def test_only_lists_shorten() -> None:
    assert brief("x" * MOST_IN_A_LIST) == "x" * MOST_IN_A_LIST
    assert brief("x" * (MOST_IN_A_LIST + 1)) == "x" * (MOST_IN_A_LIST - 1) + "…"
    assert shown("x" * 5000) == "x" * 5000


def test_origins() -> None:
    assert origins(("directory", "user")) == "a trusted directory, the user"
    assert origins(("tool", "user")) == "a tool's output, the user"
    assert origins(("tool", "tool_only")) == "only a tool's output"
    assert origins(("tool", "tool_only", "user")) == "the user; in part only a tool's output"
    assert origins(("new<b>\u202e",)) == "new<b>\\u202e"


def test_cures_that_the_page_itself_is_are_left_out() -> None:
    assert cure_of(Refusal("not_found", "x")) == cure_of(Refusal("other_digest", "x")) == ""
    assert cure_of(Refusal("expired", "x")) == REASONS["expired"].cure


def test_sentence() -> None:
    assert sentence("ask again") == "Ask again."
    assert sentence("Done.") == "Done."
    assert sentence("") == "."


def test_every_state_has_words_and_every_refusal_a_title() -> None:
    assert set(STATES) == {str(state) for state in State}
    assert all(title_of(Refusal(code, "x")) for code in REASONS)
