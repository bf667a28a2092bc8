"""What may go out around a model's texts."""

from typing import Any

import pytest

from backstay.guard.gateway.around import call_ids, finish_of, frame_of, is_word, usage_of
from backstay.guard.scans import MAX_FINDINGS, RememberedScans
from backstay.records import Finding


class Nothing:
    def findings(self, text: str, point: str) -> tuple[Finding, ...]:
        return (Finding(scanner="s", kind="bad", severity="high"),) if "bad" in text else ()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"id": "chatcmpl-1", "model": "m/1", "created": 5, "x": "y"},
            {"id": "chatcmpl-1", "model": "m/1", "created": 5},
        ),
        ({"id": "bad-1", "model": "two words", "system_fingerprint": None, "service_tier": 3}, {}),
        ({"created": 1e300, "created_at": 1.5}, {"created_at": 1}),
        ({"created": True, "id": "x" * 201}, {}),
        ({"created": float("inf"), "created_at": -1}, {}),
    ],
)
def test_frames(said: dict[str, Any], told: dict[str, Any]) -> None:
    assert frame_of(Nothing(), said) == told


def test_usage_holds_counts_only() -> None:
    usage = {
        "total_tokens": 3,
        "cost": 0.12345678,
        "by": "x",
        "A1": 2,
        "details": {"cached": 1, "x": None},
        "big": 10**12,
    }
    assert usage_of(usage) == {"total_tokens": 3, "cost": 0.123457, "details": {"cached": 1}}
    assert usage_of([3]) is None


def test_words() -> None:
    assert is_word("tool_calls") and not any(map(is_word, ("", "_", "a1", "A", "é", "a b", "a" * 41, 3)))
    assert (finish_of("length"), finish_of("two words"), finish_of(None)) == ("length", "stop", "stop")


def test_ids_of_calls_are_harmless_and_differ() -> None:
    given = [(0, "a"), (1, "a"), (2, "bad"), (3, "")]
    assert call_ids(Nothing(), given, "x_0") == {0: "a", 1: "call_x_0_1", 2: "call_x_0_2", 3: "call_x_0_3"}


def test_texts_full_of_findings_are_not_remembered() -> None:
    asked: list[str] = []

    def scan(text: str, point: str) -> tuple[Finding, ...]:
        asked.append(text)
        return (Finding(scanner="s", kind="k", severity="low"),) * len(text)

    scans = RememberedScans(scan)
    for text in ("x" * MAX_FINDINGS, "y" * (MAX_FINDINGS + 1)) * 2:
        assert len(scans.findings(text, "model.output")) == len(text)
    assert [text[0] for text in asked] == ["x", "y", "y"]
