import pytest

from backstay.scan.birth_dates import birth_date, is_date, short_date


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("02/08/1935", True),
        ("31.12.99", True),
        ("1977-03-02", True),
        ("3 March 1981", True),
        ("March 3rd, 1981", True),
        ("7. Mai 1980", True),
        ("31/02/1980", False),
        ("1/2", False),
        ("99-99-99", False),
        ("2 Foo 1980", False),
        ("1850-01-01", False),
    ],
)
def test_days_of_birth(text: str, held: bool) -> None:
    assert birth_date(text.encode()) is held


def test_days_of_the_calendar() -> None:
    assert is_date(2024, 2, 29) and not is_date(2023, 2, 29)
    assert short_date(b"000229") and not short_date(b"010229") and not short_date(b"991301")
