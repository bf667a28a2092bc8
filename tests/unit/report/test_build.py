import re

import pytest

from backstay.report import ReportData, ReportMeta, ReportSettings, build_report
from backstay.report.data import without_texts

LIMIT_BYTES = 2_000_000
SECTIONS = (
    "verdict",
    "pipeline",
    "learning",
    "reward",
    "raters",
    "screening",
    "attack",
    "samples",
    "limits",
    "lineage",
)


@pytest.fixture(scope="module")
def page(report_data: ReportData) -> str:
    return build_report(report_data)


@pytest.fixture(scope="module")
def light(report_data: ReportData) -> ReportData:
    """The fixture without its many charts: drawing takes most of the time."""
    return report_data.model_copy(update={"ppo": (), "sft": (), "reward": None, "redteam": None})


def test_the_page_is_small_and_loads_nothing(page: str) -> None:
    assert len(page.encode()) < LIMIT_BYTES
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)\s*=(?!"#)|url\((?!#)|@import|<script|<link|<iframe|<img""", page)
    assert "http" not in page.replace("http-equiv", "")


def test_every_section_is_there_once_and_the_verdict_is_first(page: str) -> None:
    places = [page.index(f'id="{name}"') for name in SECTIONS]
    assert all(page.count(f'id="{name}"') == 1 for name in SECTIONS)
    assert places[0] == min(places)
    assert set(re.findall(r'<a href="#([a-z]+)"', page)) == set(SECTIONS)


def test_ids_are_unique(page: str) -> None:
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_same_data_same_bytes(page: str, report_data: ReportData) -> None:
    assert build_report(report_data) == page


def test_what_is_simulated_is_said(page: str, light: ReportData) -> None:
    assert "the raters and the gold rule are <b>simulated</b>" in page
    real = tuple({**rater, "simulated": False} for rater in light.raters)
    meta = light.meta.model_copy(update={"simulated_gold": False})
    banner = re.compile(r'class="simulated"')
    assert not banner.search(build_report(light.model_copy(update={"raters": real, "meta": meta})))


def test_true_kinds_are_shown_of_simulated_raters_only(page: str, light: ReportData) -> None:
    assert "True kinds are known only because these raters are simulated" in page
    real = tuple({**rater, "simulated": False} for rater in light.raters)
    assert "True kind" not in build_report(light.model_copy(update={"raters": real}))


def test_figures_of_the_evaluation_are_printed(page: str, report_data: ReportData) -> None:
    assert report_data.evaluation is not None
    gold = report_data.evaluation["after"]["gold"]["mean"]
    assert f'<span class="to">{gold:.2f}</span>' in page
    assert "backstay run" in page
    assert "manifest" in page.lower()


def test_parts_of_the_held_out_pairs_and_the_cost_model_are_shown(page: str) -> None:
    for text in (
        "temperature of 2.04",
        "calibration error of 6.2 % instead of 11.8 %",
        "dispute 0.00 to 0.25",
        "raters with region north",
        "31.0 % of those safe (16",
        "10.0 % of the others harmful (5",
    ):
        assert text in page, text


def test_stages_that_were_not_run_say_so() -> None:
    page = build_report(ReportData(meta=ReportMeta(title="empty", imported=False)))
    for stage in ("ppo", "reward", "aggregate", "screen", "redteam", "evaluate"):
        assert f"the <code>{stage}</code> stage has no run here" in page
    assert "Not evaluated" in page
    assert "Attacks." in page


def test_more_samples_are_folded(light: ReportData) -> None:
    page = build_report(light.model_copy(update={"settings": ReportSettings(samples=5)}))
    assert page.count('<article class="sample">') == 20
    assert "<summary>15 more</summary>" in page


def test_imported_texts_are_not_in_the_file(light: ReportData) -> None:
    meta = light.meta.model_copy(update={"imported": True})
    page = build_report(light.model_copy(update={"meta": meta}))
    assert "bread" not in page
    assert "neighbour" not in page
    assert "they are not in this file" in page


def test_scores_stay_when_texts_go(report_data: ReportData) -> None:
    kept = without_texts(report_data).evaluation
    assert kept is not None
    assert set(kept["samples"][0]) == {"prompt_id", "family", "gold_before", "gold_after"}


def test_only_the_least_trusted_are_drawn_of_many(light: ReportData) -> None:
    page = build_report(light.model_copy(update={"settings": ReportSettings(raters=5)}))
    assert "19 more raters" in page


def test_without_gold_rule_the_page_claims_no_quality(light: ReportData) -> None:
    assert light.evaluation is not None
    bare = {
        **light.evaluation,
        "gold_rule": False,
        "note": "no gold rule: reward only",
        "win_rate": None,
        "samples": [{**row, "gold_before": None, "gold_after": None} for row in light.evaluation["samples"]],
        **{
            side: {
                **light.evaluation[side],
                "gold": None,
                "refusal": None,
                "over_refusal": None,
                "flattery": None,
            }
            for side in ("before", "after", "difference")
        },
        "families": {
            "other": {
                "prompts": 3,
                **{
                    side: {"gold": None, "reward": None, "refused": None, "tokens": None}
                    for side in ("before", "after")
                },
                "difference": {"gold": None},
            }
        },
    }
    page = build_report(light.model_copy(update={"evaluation": bare}))
    assert "No verdict on quality" in page
    assert "Quality of any kind." in page


def test_an_alarm_stands_above_the_curves_with_its_reason(report_data: ReportData) -> None:
    quiet = build_report(report_data)
    assert "Reward-hacking alarm" not in quiet
    reason = "responses are 2.5 times as long as in the first round (limit 2) & <b>more</b>"
    rows = [row | {"over": "length" if row["update"] > 3 else "", "alarm": ""} for row in report_data.ppo]
    watched = build_report(report_data.model_copy(update={"ppo": tuple(rows)}))
    assert "No alarm. Over a limit in single rounds: length (4)" in " ".join(watched.split()).replace(
        "Length", "length"
    )
    rows[-1] |= {"alarm": reason}
    alarmed = " ".join(build_report(report_data.model_copy(update={"ppo": tuple(rows)})).split())
    assert f"after update {rows[-1]['update']}: responses are 2.5 times as long" in alarmed
    assert "<b>more</b>" not in alarmed
