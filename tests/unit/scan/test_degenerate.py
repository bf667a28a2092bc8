import pytest

from backstay.scan import scan_degenerate
from backstay.scan.degenerate import longest_loop


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in scan_degenerate(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["empty"]),
        (" \n\t", ["empty"]),
        ("...", ["too_short"]),
        ("a", ["too_short"]),
        ("a" * 40, ["repeated_character"]),
        ("the cat sat " * 10, ["loop"]),
        ("no no no no", ["loop"]),
        ("Yes.", []),
        ("8", []),
        ("你好 我可以帮你", []),
        ("-" * 60 + "\nA table\n" + "=" * 60, []),
        ("Ha ha ha! That is a good one, and I have never heard it before.", []),
        ("First boil the water, then add the egg, and wait for six minutes.", []),
    ],
)
def test_kinds(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


def test_shuffled_repetition_is_repetitive_though_no_loop() -> None:
    part = "one can always say the very same thing again and again here"
    text = " ".join(f"{part} {odd}" for odd in (f"w{n}" for n in range(16)))
    assert kinds(text) == ["repetitive"]


def test_loop_reports_period_and_length() -> None:
    words = ["start", *(["x", "y", "z"] * 5), "end"]
    assert longest_loop(words) == (3, 15)
    assert longest_loop(["x", "y", "x", "y", "x", "y"]) == (0, 0)  # three times is no loop
