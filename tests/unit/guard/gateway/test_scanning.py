from collections import Counter

from backstay.guard.gateway.scanning import WARM_UP, scanner, warm_up
from backstay.guard.gateway.settings import checked
from backstay.policy.points import POINTS
from backstay.records import Finding
from backstay.scan import NOT_SCANNED
from backstay.scan.folding import _tables

SETTINGS = checked({"guard": 1, "upstreams": {"main": {"base_url": "http://127.0.0.1:9/v1"}}}, "here")


def test_every_point_is_scanned_once_before_a_client_comes() -> None:
    seen: list[tuple[str, str]] = []

    def scan(text: str, point: str) -> tuple[Finding, ...]:
        seen.append((text, point))
        return ()

    warm_up(scan)
    assert seen == [(WARM_UP, point) for point in POINTS]


def test_a_scan_that_was_not_finished_is_done_again_and_not_for_ever() -> None:
    tries: Counter[str] = Counter()

    def scan(_: str, point: str) -> tuple[Finding, ...]:
        tries[point] += 1
        unfinished = point == POINTS[0] or (point == POINTS[1] and tries[point] == 1)
        return (
            (Finding(scanner="s", kind=NOT_SCANNED, severity="high", span=(0, 0), evidence=""),) if unfinished else ()
        )

    warm_up(scan)
    assert [tries[point] for point in POINTS] == [3, 2, *[1] * (len(POINTS) - 2)]


def test_the_first_text_that_is_not_ascii_finds_its_tables_there() -> None:
    _tables.cache_clear()
    warm_up(scanner(SETTINGS))
    assert _tables.cache_info().currsize == 1
