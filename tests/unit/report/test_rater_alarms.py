"""Alarms say who, how strong and what next, with the figures of the aggregation and no others."""

from typing import Any

import numpy as np
import pytest

from backstay.aggregate import AggregateSettings, aggregate
from backstay.records import Choice, Judgment, Task
from backstay.report import ReportData, ReportMeta, build_report
from backstay.report.alarms import Alarm
from backstay.report.rater_alarms import rater_alarms
from backstay.report.raters import agreement, flips, rests_on

Json = dict[str, Any]
BLOC: Json = {
    "raters": 3,
    "raters_named": 3,
    "copying": 0.9,
    "agreement": 0.98,
    "expected_agreement": 0.52,
    "gain_nats": 40.2,
    "gold_right": 11.6,
    "gold_wrong": 12.9,
    "preference_group": False,
}
NOTE = "acts as one with 2 others: they agree on 98% of common votes, 52% expected"


def trusted(name: str, *notes: str, **more: Any) -> Json:
    return {"rater_id": name, "trust": 0.4, "low": 0.3, "high": 0.45, "notes": list(notes), **more}


def only(aggregate: Json, *trust: Json) -> Alarm:
    (alarm,) = rater_alarms(aggregate, trust, {})
    return alarm


def test_a_bloc_names_its_members_and_its_figures() -> None:
    rows = [trusted("x", NOTE), trusted("y", NOTE), trusted("z")]
    (alarm,) = rater_alarms({"blocs": [BLOC]}, rows, {"x": "Xenia"})
    assert (alarm.tone, alarm.title, alarm.who) == ("alarm", "3 raters act as one", ("Xenia", "y"))
    assert "98 % of the votes they share; 52 % would be expected; on gold 12 of 24 right" in alarm.seen
    assert "90 % of their common votes look copied (40 nats" in alarm.strength
    assert "crowd" not in alarm.strength


def shared(p_corrected: float) -> Json:
    return {"shared": 14, "expected": 3.12, "p_value": p_corrected / 2, "p_corrected": p_corrected}


@pytest.mark.parametrize("key", ["signals", "same_source"])
def test_the_false_alarm_rate_and_what_is_shared_are_told_when_they_are_known(key: str) -> None:
    found = {"client": shared(0.0125), "rationale": shared(0.2)}
    told = only({"blocs": [BLOC | {"false_alarms": 0.0125, key: found}]}).strength
    assert "in 1.2 % of cases." in told
    assert told.endswith("Shared beyond chance: clients (14 times, 3.1 expected, chance 1.2 %).")
    assert "Shared" not in only({"blocs": [BLOC | {"false_alarms": None, key: {"client": shared(0.06)}}]}).strength
    assert "in most cases." in only({"blocs": [BLOC | {"false_alarms": 0.8}]}).strength


def test_raters_outside_blocs_who_give_the_same_rationales_are_named() -> None:
    row = {"raters": ["x", "y"], "texts": 4, "copies": 9, "false_alarms": 0.0001}
    (alarm,) = rater_alarms({"same_source": [row]}, [], {"x": "Xenia"})
    assert (alarm.title, alarm.who) == ("2 raters give the same rationales", ("Xenia", "y"))
    assert "9 times, with 4 different texts" in alarm.seen
    assert "less than 0.1 %" in alarm.strength


def test_a_group_that_passes_gold_is_a_notice_and_stands_last() -> None:
    group = BLOC | {"preference_group": True, "raters": 5, "gold_right": 18.0, "gold_wrong": 2.0}
    found = rater_alarms({"blocs": [group, BLOC]}, [], {})
    assert [alarm.tone for alarm in found] == ["alarm", "notice"]
    assert found[1].title == "5 raters share a preference and pass gold"
    assert "Nobody loses trust" in found[1].act


def test_without_gold_the_next_step_is_gold() -> None:
    blind = only({"blocs": [BLOC | {"gold_right": 0.0, "gold_wrong": 0.0}]})
    assert "none of them saw a gold item" in blind.seen
    assert "Give them gold items" in blind.act


def topic(name: str, **more: Any) -> Json:
    row = {"topic": name, "votes": 1200, "excess_contradictions": 0.071, "z": 2.6, "suspected": True}
    row |= {"content_z": 0.3, "suspected_by": ["votes"], "open_pairs": 310}
    return row | {"judged_apart": False} | more


def test_suspected_topics_come_with_the_commands_of_the_audit() -> None:
    alarm = only({"topics": [topic("tea"), topic("rum", suspected=False)], "audit": ["p"] * 7})
    assert alarm.title == "Raters may be lying about tea"
    assert "tea: 7.1 % of 1\u202f200 votes" in alarm.seen
    assert "responses say" not in alarm.seen
    assert "7 proposed pairs" in alarm.act and "310 labels" in alarm.act
    assert alarm.commands == ("backstay audit -o audit.jsonl", "backstay run aggregate.audits=audit.jsonl")


def test_a_topic_whose_answers_do_not_follow_their_content_says_so() -> None:
    alarm = only({"topics": [topic("tea") | {"suspected_by": ["content"], "content_z": 6.25}], "audit": ["p"]})
    assert alarm.seen == "tea: answers do not follow what the responses say (6.2 deviations)."


def test_raters_who_changed_are_told_in_the_words_of_their_notes() -> None:
    note = "changed on 2026-05-01: right 31% since, 92% in 60 judgments before"
    alarm = only({}, trusted("x", note), trusted("y"))
    assert alarm.title == "1 rater has changed"
    assert alarm.seen == f"x {note}." and alarm.who == ("x",)
    many = only({}, *(trusted(f"r{k}", note) for k in range(8)))
    assert many.title == "8 raters have changed" and many.seen.endswith(", and 3 more.")


def test_after_the_audit_the_liars_of_the_topic_are_named() -> None:
    note = "on tea more often wrong than right in 30 judgments: read backwards"
    alarm = only({"topics": [topic("tea", judged_apart=True)]}, trusted("x", note), trusted("y"))
    assert alarm.who == ("x",)
    assert not alarm.commands


def test_raters_below_chance_are_summed_and_members_of_blocs_told_once() -> None:
    wrong = "more often wrong than right: read backwards"
    rows = [
        trusted("x", wrong, gold_right=1, gold_seen=9),
        trusted("y", wrong, gold_right=0, gold_seen=4, high=0.48),
        trusted("z", NOTE, wrong, gold_right=5, gold_seen=9),
    ]
    alarm = only({}, *rows)
    assert alarm.who == ("x", "y")
    assert alarm.seen == "On gold: 1 of 13 right."
    assert "48 %" in alarm.strength


def test_cohorts_that_differ_ask_for_a_rule_and_a_bias_is_an_alarm() -> None:
    weight = {"value": 0.77, "low": 0.64, "high": 0.93}
    cohorts = {
        "rule": "pooled",
        "differences": [
            {"cohorts": ["n", "s"], "shared_items": 90, "p_corrected": 0.012, "differ": True, "items_that_differ": 8},
            {"cohorts": ["n", "w"], "shared_items": 90, "p_corrected": 0.5, "differ": False, "items_that_differ": 0},
        ],
        "bias": [
            {"cohort": "s", "raters": 6, "votes": 1402, "relative_weight": weight, "warning": "weighs less"},
            {"cohort": "n", "raters": 6, "votes": 1402, "relative_weight": weight, "warning": ""},
        ],
    }
    bias, difference = rater_alarms({"cohorts": cohorts}, [], {})
    assert "0.77 (0.64 to 0.93)" in bias.strength
    assert "1.2 %" in difference.strength
    assert difference.commands == ("backstay run aggregate.cohort_rule=per_cohort",)
    decided = rater_alarms({"cohorts": cohorts | {"rule": "per_cohort"}}, [], {})[1]
    assert not decided.commands


def test_a_warning_is_taken_apart_and_topics_are_told_once() -> None:
    said = ["no gold item: it cannot be told; add gold items", "votes contradict each other on tea: audit"]
    alarm = only({"warnings": said})
    assert (alarm.title, alarm.seen, alarm.act) == ("No gold item", "It cannot be told.", "Add gold items.")


def test_nothing_found_is_no_alarm() -> None:
    assert rater_alarms({}, [trusted("x")], {}) == []
    assert rater_alarms({"blocs": [], "topics": [], "cohorts": None, "warnings": []}, [], {}) == []


def test_the_members_of_a_real_bloc_are_found_from_their_notes() -> None:
    """Seven simulated raters, three of whom copy one random key: the alarm must name exactly these."""
    rng = np.random.default_rng(4)
    tasks = [Task.make(f"prompt-{k}", (f"r{k}a", f"r{k}b"), gold=0 if k % 6 == 0 else None) for k in range(150)]
    judgments = []
    for k, task in enumerate(tasks):
        key = int(rng.integers(2))
        for name in range(7):
            says = key if name < 3 else int(rng.random() < 0.2)
            judgments.append(
                Judgment(
                    id=f"j{k}-{name}",
                    task_id=task.id,
                    rater_id=f"rater{name}",
                    order_shown=(0, 1),
                    choice=Choice.prefer(says, 1 - says),
                    created_at="2026-01-05T08:00:00.000Z",
                )
            )
    found = aggregate(tasks, judgments, AggregateSettings())
    alarms = rater_alarms(found.summary, [row.payload() for row in found.trust], {})
    bloc = next(alarm for alarm in alarms if alarm.title.endswith("act as one"))
    assert set(bloc.who) == {"rater0", "rater1", "rater2"}


def test_agreement_and_flip_numbers_keep_their_figures() -> None:
    found = agreement({"alpha": 0.1, "alpha_low": 0.05, "alpha_high": 0.15, "fleiss_kappa": None, "pairwise": 0.6})
    assert [(row["name"], row["value"], row["low"]) for row in found] == [
        ("pairs of votes that are equal", 0.6, None),
        ("Krippendorff's alpha", 0.1, 0.05),
    ]
    counted = {"items_by_flip_number": {"1": 4, "2": 3, "5": 2, "7": 1}, "never": 8, "without_a_side": 2}
    told = flips(counted)
    assert told is not None
    assert (told["labels"], told["one"], told["two"], told["more"], told["never"]) == (20, 4, 3, 3, 8)
    assert flips({}) is None


def test_what_trust_rests_on() -> None:
    assert rests_on(trusted("x", gold_seen=3)) == "gold, others"
    assert rests_on(trusted("x", gold_seen=0)) == "others"
    assert rests_on(trusted("x", "unverified: no gold item and no second voice")) == "nothing"


@pytest.fixture
def bare(report_data: ReportData) -> ReportData:
    return ReportData(meta=ReportMeta(title="t", imported=False), raters=report_data.raters, trust=report_data.trust)


def test_the_page_shows_alarms_before_the_chart_and_escapes_what_they_quote(bare: ReportData) -> None:
    summary = {"blocs": [], "topics": [topic("<i>tea</i>\u202e")], "audit": []}
    page = build_report(bare.model_copy(update={"aggregate": summary}))
    assert page.index("Raters may be lying about") < page.index("Estimated trust of each rater")
    assert "backstay audit -o audit.jsonl" in page
    assert "<i>tea" not in page
    assert "\u202e" not in page
    assert "simulated raters" in page
    assert 'Raters <span class="badge">1</span>' in page


def test_a_calm_page_says_what_was_looked_for(bare: ReportData) -> None:
    assert "No alarm." in build_report(bare.model_copy(update={"aggregate": {"blocs": []}}))
    assert "No alarm." not in build_report(bare.model_copy(update={"aggregate": {}}))
