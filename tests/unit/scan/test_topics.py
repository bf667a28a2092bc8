import time

import pytest

from backstay.errors import UsageError
from backstay.scan import View
from backstay.scan.topics import TopicScanner

SCANNER = TopicScanner({"bets": ["sports betting", "place a bet"], "rival": ["Acme Corp."]})


def found(text: str) -> list[tuple[str, str]]:
    return [(one.kind, text[slice(*(one.span or (0, 0)))]) for one in SCANNER.scan(View.of(text))]


def test_phrases_are_found_as_words_in_a_row() -> None:
    assert found("Sports,\n  betting! then place a bet") == [("bets", "Sports,\n  betting"), ("bets", "place a bet")]
    assert found("ACME-corp") == [("rival", "ACME-corp")]
    assert found("transports betting, sports bettings, acmecorp, sports and betting") == []


def test_disguise_does_not_help() -> None:
    disguised = "\u0455\u0440orts\u200b betting"
    assert found(f"we like {disguised}") == [("bets", disguised)]


def test_neighbours_share_the_space_between_them() -> None:
    assert [kind for kind, _ in found("sports betting place a bet acme corp")] == ["bets", "bets", "rival"]


def test_phrases_without_words_are_refused() -> None:
    refused: list[dict[str, list[str]]] = [{"x": ["..."]}, {"x": ["ставки"]}, {}, {"x": []}]
    for topics in refused:
        with pytest.raises(UsageError):
            TopicScanner(topics)


def test_time_is_linear() -> None:
    begin = time.thread_time()
    SCANNER.scan(View.of("sports betting " * 20_000))
    SCANNER.scan(View.of(" " * 300_000))
    assert time.thread_time() - begin < 3.0
