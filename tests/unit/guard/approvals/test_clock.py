"""Time goes on, whatever the wall clock does."""

from backstay.guard.approvals import Clock


def test_time_follows_the_wall_clock_and_never_goes_back() -> None:
    wall, steady = [100.0], [0.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    assert clock.now_ms() == 100_000
    wall[0], steady[0] = 160.0, 1.0
    assert clock.now_ms() == 160_000
    wall[0], steady[0] = 10.0, 3.5
    assert clock.now_ms() == 162_500
    steady[0] = 4.5
    assert clock.now_ms() == 163_500


def test_what_another_process_has_seen_counts_and_time_goes_on_from_there() -> None:
    wall, steady = [100.0], [0.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    assert clock.now_ms(500_000) == 500_000
    steady[0] = 2.0
    assert clock.now_ms(0) == 502_000
    wall[0] = 600.0
    assert clock.now_ms(0) == 600_000
