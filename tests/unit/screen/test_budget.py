import pytest

from backstay.records import Finding, Pair, PairStatus
from backstay.screen.budget import budget


def pair(number: int, status: PairStatus, weight: float, *reasons: str, review: str = "") -> Pair:
    found = [Finding(scanner=r.split("/")[0], kind=r.split("/")[1], severity="low") for r in reasons]
    found += [Finding(scanner="review", kind="release", severity="info", evidence=review)] if review else []
    return Pair(
        id=f"pair-{number}", prompt_id="p", a="a", b="b", p_a=0.9, weight=weight, status=status, findings=tuple(found)
    )


def test_the_budget_adds_up() -> None:
    told = budget(
        [
            pair(0, "accepted", 2.0),
            pair(1, "quarantined", 1.0, "hurried/hurried_evidence"),
            pair(2, "quarantined", 0.5, "hurried/hurried_evidence", "degenerate/loop"),
            pair(3, "released", 0.5, "degenerate/loop", review="release by ann: it is fine"),
        ]
    )
    assert (told["kept"], told["quarantined"], told["released"]) == (2, 2, 1)
    assert told["weight_share_lost"] == pytest.approx(1.5 / 4.0)
    assert told["weight_share_released"] == pytest.approx(0.5 / 4.0)
    assert told["by_reason"] == {
        "degenerate/loop": {"pairs": 1, "only_reason": 0, "weight_share": 0.125},
        "hurried/hurried_evidence": {"pairs": 2, "only_reason": 1, "weight_share": 0.375},
    }
    assert told["releases"] == [
        {"pair": "pair-3", "review": "release by ann: it is fine", "reasons": ["degenerate/loop"]}
    ]


def test_what_a_person_set_aside_has_a_reason_too() -> None:
    assert budget([pair(0, "quarantined", 1.0)])["by_reason"]["review/quarantine"]["pairs"] == 1


def test_without_pairs_no_share_is_defined() -> None:
    assert budget([])["weight_share_lost"] is None
