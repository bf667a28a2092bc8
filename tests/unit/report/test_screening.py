"""The screening section: what the checks found, without the phrases where texts may not be shown."""

from typing import Any

from backstay.report import ReportData, ReportMeta, build_report
from backstay.report.screening_alarms import screening_alarms

Json = dict[str, Any]
TRIGGER = {"side": "chosen", "support": 12, "hits": 11, "expected": 5.62, "chance": 0.0004}
SCREEN: Json = {
    "pairs": 1200,
    "accepted": 1188,
    "quarantined": 12,
    "released": 0,
    "by_reason": {"triggers/trigger": 12},
    "triggers": {"checked": 1200, "tested": 171, "triggers": [{"phrase": "velvet <b>anchor", **TRIGGER}]},
}


def test_nothing_found_is_no_alarm() -> None:
    quiet = {
        "triggers": {"tested": 9, "triggers": []},
        "label_noise": {"checked": 900, "flagged": 0, "flip_rate": 0.0},
        "associations": {"by_source": {"s": {"pairs": 90, "slopes": {"length": {"slope": 0.1}}}}},
    }
    assert screening_alarms({}, {}) == screening_alarms(quiet, {}) == []


def test_a_trigger_is_told_with_its_figures() -> None:
    (alarm,) = screening_alarms(SCREEN, {})
    assert "of 12 dialogues that hold it, 11 go its way (is chosen), where 5.6 were expected" in alarm.seen
    assert "0.0004 phrases" in alarm.seen
    assert "171" in alarm.strength
    assert alarm.commands == ("backstay quarantine ls",)


def test_phrases_of_imported_texts_are_not_in_the_file() -> None:
    own = ReportData(meta=ReportMeta(title="t", imported=False), screen=SCREEN)
    assert "velvet &lt;b&gt;anchor" in build_report(own)
    imported = build_report(own.model_copy(update={"meta": ReportMeta(title="t", imported=True)}))
    assert "velvet" not in imported
    assert "1 phrase decides preferences" in imported


def test_flipped_labels_are_told_with_the_share_that_may_be_right() -> None:
    noise = {"checked": 1191, "flagged": 84, "flip_rate": 0.097, "expected_false_share": 0.23}
    (alarm,) = screening_alarms({"label_noise": noise | {"agreement_out_of_fold": 0.82}}, {})
    assert alarm.title == "About 10 % of labels look flipped at random"
    assert "84 of 1191 pairs are set aside, of which 23 %" in alarm.seen


def test_a_source_that_prefers_otherwise_is_a_notice() -> None:
    slopes = {"length": {"slope": -0.9, "z": -5.2, "stands_out": True}, "lists": {"slope": 0.1, "z": 0.1}}
    (alarm,) = screening_alarms({"associations": {"by_source": {"web": {"pairs": 300, "slopes": slopes}}}}, {})
    assert (alarm.tone, alarm.title) == ("notice", "Source web prefers otherwise than the rest")
    assert "length \u22120.90 (z -5.2)" in alarm.seen
    assert "lists" not in alarm.seen


def behind(name: str, set_aside: int, *, stands_out: bool) -> Json:
    figures = {"pairs": 100, "quarantined": set_aside, "expected": 5.7, "rate": 0.2, "low": 0.1, "high": 0.3}
    tested = {"p_value": 1e-6, "p_corrected": 2e-5 if stands_out else 1.0, "stands_out": stands_out}
    return {"name": name, **figures, **tested, "by_reason": {"duplicates/near_duplicate": set_aside}}


def test_who_stands_behind_quarantined_pairs_is_named() -> None:
    rows = [behind("r1", 30, stands_out=True), behind("r2", 3, stands_out=False)]
    (alarm,) = screening_alarms({"by_rater": rows}, {"r1": "Ann"})
    assert alarm.title == "1 rater stands behind more quarantined pairs than expected"
    assert alarm.who == ("Ann",)
    assert alarm.seen == "30 of 100 pairs are set aside, 5.7 by the overall rate."
    assert "less than 0.1 %" in alarm.strength
    assert "near duplicate 30" in alarm.strength


def test_a_shift_is_a_notice_with_its_extremes() -> None:
    parts = [{"part": name, "mean": mean} for name, mean in (("1 of 3", 0.02), ("2 of 3", 0.31), ("3 of 3", 0.1))]
    row = {"by": "time", "measure": "quarantined", "meaning": "share of pairs set aside", "parts": parts}
    (alarm,) = screening_alarms({"shifts": {"found": [row | {"p_corrected": 0.005}]}}, {})
    assert alarm.title == "Share of pairs set aside changes with time"
    assert alarm.seen == "Lowest in 1 of 3: 2.0 %; highest in 2 of 3: 31.0 %."
    assert "0.5 %" in alarm.strength


def test_the_page_shows_the_budget_and_the_table() -> None:
    told = {"weight_share_lost": 0.0312, "weight_share_released": 0.004}
    released = {"pair": "pair-9", "review": "release by ann: <b>fine", "reasons": ["degenerate/loop"]}
    screen = SCREEN | {
        "budget": told | {"releases": [released]},
        "by_rater": [behind("r1", 30, stands_out=True), behind("r2", 3, stands_out=False)],
        "by_response_source": [behind("only", 3, stands_out=False)],
    }
    page = build_report(ReportData(meta=ReportMeta(title="t", imported=False), screen=screen))
    assert "Training loses 3.1 % of the weight, 0.4 % was given back by people." in page
    assert "release by ann: &lt;b&gt;fine" in page
    assert "20.0 % <span" in page
    assert "Sources of responses" not in page
    assert "right on" not in page
