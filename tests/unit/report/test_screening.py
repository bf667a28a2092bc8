"""The screening section: what the checks found, without the phrases where texts may not be shown."""

from typing import Any

from backstay.report import ReportData, ReportMeta, build_report
from backstay.report.screening import screening_alarms

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
    assert screening_alarms({}) == screening_alarms(quiet) == []


def test_a_trigger_is_told_with_its_figures() -> None:
    (alarm,) = screening_alarms(SCREEN)
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
    (alarm,) = screening_alarms({"label_noise": noise | {"agreement_out_of_fold": 0.82}})
    assert alarm.title == "About 10 % of labels look flipped at random"
    assert "84 of 1191 pairs are set aside, of which 23 %" in alarm.seen


def test_a_source_that_prefers_otherwise_is_a_notice() -> None:
    slopes = {"length": {"slope": -0.9, "z": -5.2, "stands_out": True}, "lists": {"slope": 0.1, "z": 0.1}}
    (alarm,) = screening_alarms({"associations": {"by_source": {"web": {"pairs": 300, "slopes": slopes}}}})
    assert (alarm.tone, alarm.title) == ("notice", "Source web prefers otherwise than the rest")
    assert "length \u22120.90 (z -5.2)" in alarm.seen
    assert "lists" not in alarm.seen
