from pathlib import Path

from backstay.report import ReportData, ReportMeta, build_report, load_report_data
from backstay.report.sections import learning

ROWS = tuple(
    {"step": step, "loss": 0.7 - 0.02 * step, "accuracy": 0.5 + 0.04 * step, "margin": 0.1 * step}
    | {"chosen_logprob_change": -0.2 * step, "rejected_logprob_change": -0.9 * step}
    | ({"kl_nats": 0.3 * step} if step % 3 == 0 else {})
    for step in range(1, 8)
)


def meta(kl_budget_nats: float | None = None) -> ReportMeta:
    return ReportMeta(title="t", imported=False, policy_stage="dpo", kl_budget_nats=kl_budget_nats)


def test_dpo_has_its_curves_and_numbers_where_ppo_was_not_run() -> None:
    data = ReportData(meta=meta(kl_budget_nats=8.0), dpo=ROWS)
    found = learning(data)
    assert found is not None
    assert [panel["title"] for panel in found["panels"]] == [
        "Loss",
        "Pairs in order",
        "Log-probability",
        "Drift from the reference",
    ]
    assert "kl nats" in found["columns"] and len(found["rows"]) == found["updates"] == 7
    page = build_report(data)
    assert "7 DPO steps" in page and "PPO" not in page


def test_a_loop_without_either_names_the_stage_that_was_due() -> None:
    page = build_report(ReportData(meta=meta()))
    assert "the <code>dpo</code> stage has no run here" in page


def test_dpo_stands_in_the_strip_where_ppo_would(tmp_path: Path) -> None:
    for stage in ("sft", "dpo"):
        (tmp_path / stage).mkdir()
    names = [stage.name for stage in load_report_data({s: tmp_path / s for s in ("sft", "dpo")}, meta()).stages]
    assert names == ["sft", "sample", "rate", "aggregate", "screen", "reward", "dpo", "evaluate", "redteam"]
    (tmp_path / "ppo").mkdir()
    both = load_report_data({s: tmp_path / s for s in ("sft", "ppo", "dpo")}, meta()).stages
    assert [stage.name for stage in both][6:] == ["ppo", "evaluate", "redteam", "dpo"]
