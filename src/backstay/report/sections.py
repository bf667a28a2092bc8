"""What each section of the page shows, worked out before any template sees it."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from backstay.report import charts
from backstay.report.data import ReportData
from backstay.report.wording import words

Json = Mapping[str, Any]
Section = dict[str, Any]


def learning(data: ReportData) -> Section | None:
    """The curves of PPO or DPO and, folded, every logged number; None when neither was run."""
    if not data.ppo:
        return preference_learning(data)
    rows, budget = data.ppo, data.meta.kl_budget_nats
    panels = [
        (
            "Gold score",
            "To watch: no reward contains it.",
            charts.learning_chart(rows, "gold", [("gold_mean", "gold score")]),
        ),
        (
            "Reward",
            "Ensemble mean and its spread.",
            charts.learning_chart(
                rows,
                "reward",
                [("reward_raw_mean", "ensemble mean"), ("reward_mean", "after penalties")],
                band="reward_spread",
            ),
        ),
        (
            "Drift from the reference",
            "KL in nats per response.",
            charts.learning_chart(rows, "kl", [("kl_nats", "KL")], limit=(budget, "budget") if budget else None),
        ),
        (
            "Answer length",
            "Tokens per response.",
            charts.learning_chart(rows, "tokens", [("response_tokens", "tokens")]),
        ),
        (
            "Clipped ratios",
            "Share of tokens at the clip range.",
            charts.learning_chart(rows, "clip", [("clip_fraction", "clipped")]),
        ),
        (
            "Value model",
            "Explained variance of returns; 1 is best.",
            charts.learning_chart(rows, "value", [("value_explained_variance", "explained variance")]),
        ),
    ]
    panels += [
        (
            "Harm",
            "Mean cost per response; 0 lies between safe and harmful.",
            charts.learning_chart(rows, "cost", [("cost_mean", "cost")]),
        ),
        (
            "Price of harm",
            "The Lagrange multiplier.",
            charts.learning_chart(rows, "multiplier", [("multiplier", "multiplier")]),
        ),
    ]
    return _logged(data, rows, panels) | {
        "trained": f"{data.meta.algorithm.upper()} updates",
        "alarms": [(row["update"], row["alarm"]) for row in rows if row.get("alarm")],
        "watched": [(row["update"], words(row["over"])) for row in rows if row.get("over")],
        "episodes": sum(int(row.get("episodes") or 0) for row in rows),
    }


def preference_learning(data: ReportData) -> Section | None:
    """The curves of DPO, which samples only to measure its drift; None when it was not run."""
    if not data.dpo:
        return None
    rows, budget = data.dpo, data.meta.kl_budget_nats
    measured = [row for row in rows if row.get("kl_nats") is not None]
    panels = [
        ("Loss", "Of each step's pairs, before the step.", _curve(rows, "dpo-loss", ("loss", "loss"))),
        ("Pairs in order", "Share whose preferred answer gained more.", _curve(rows, "order", ("accuracy", "share"))),
        (
            "Log-probability",
            "Change since the reference, nats per answer.",
            _curve(rows, "change", ("chosen_logprob_change", "preferred"), ("rejected_logprob_change", "other")),
        ),
        (
            "Drift from the reference",
            "KL in nats per response, on sampled answers.",
            _curve(measured, "kl", ("kl_nats", "KL"), limit=(budget, "budget") if budget else None),
        ),
    ]
    return _logged(data, rows, panels) | {"trained": "DPO steps", "episodes": 0}


def _curve(rows: Sequence[Json], name: str, *lines: tuple[str, str], **marks: Any) -> Markup | None:
    return charts.learning_chart(rows, name, lines, step="step", **marks)


def _logged(data: ReportData, rows: Sequence[Json], panels: Sequence[tuple[str, str, Markup | None]]) -> Section:
    names = dict.fromkeys(column for row in rows for column in row)
    columns = [column for column in names if any(isinstance(row.get(column), int | float) for row in rows)]
    return {
        "panels": [_panel(*panel) for panel in panels if panel[2] is not None],
        "columns": [words(column) for column in columns],
        "rows": [[_cell(row.get(column)) for column in columns] for row in rows],
        "updates": len(rows),
        "alarms": [],
        "watched": [],
        "loss": charts.loss_chart(data.sft) if any(row.get("loss") is not None for row in data.sft) else None,
    }


def reward(data: ReportData) -> Section | None:
    """Calibration and accuracy of the reward ensemble; None when it was not trained."""
    if data.reward is None:
        return None
    heldout = data.reward["heldout"]
    return {
        "heldout": heldout,
        "members": data.reward["members"],
        "folds": data.reward.get("folds"),
        "normalisation": data.reward.get("normalisation"),
        "reliability": charts.reliability_chart(heldout["bins"]) if heldout.get("bins") else None,
        "accuracy": charts.member_chart(heldout),
        "calibration": data.reward.get("calibration"),
        "slices": _accuracy_slices(data.reward.get("accuracy_by") or {}),
        "cost": data.reward.get("cost"),
    }


def _accuracy_slices(found: Json) -> list[Section]:
    """Accuracy on parts of the held-out pairs, each with a name for people."""
    named = [(f"family {words(row['family'])}", row) for row in found.get("family", ())]
    named += [(f"dispute {r['dispute_low']:.2f} to {r['dispute_high']:.2f}", r) for r in found.get("dispute", ())]
    named += [(f"raters with {row['field']} {row['value']}", row) for row in found.get("cohort", ())]
    return [{**row, "name": name} for name, row in named]


def attack(data: ReportData) -> Section | None:
    """The label-flip table; None when the red team was not run."""
    matrix = (data.redteam or {}).get("label_flip")
    if not matrix or not matrix.get("rows"):
        return None
    by_share: dict[float, dict[str, Json]] = {}
    for row in matrix["rows"]:
        by_share.setdefault(row["share"], {})[row["arm"]] = row
    return {
        "matrix": matrix,
        "chart": charts.attack_chart(matrix["rows"]),
        "rows": [{"share": share, "flipping": _flipping(arms), **arms} for share, arms in sorted(by_share.items())],
    }


def families(data: ReportData) -> Section | None:
    """Gold score and refusals a family; None without an evaluation."""
    if data.evaluation is None or not data.evaluation.get("families"):
        return None
    measured = data.evaluation["families"]
    return {
        "rows": measured,
        "gold": charts.family_chart(measured, "gold"),
        "refused": charts.family_chart(measured, "refused"),
        "has_gold": data.evaluation["gold_rule"],
    }


def samples(data: ReportData) -> Section | None:
    """Answers side by side; None without any."""
    rows = (data.evaluation or {}).get("samples") or []
    if not rows:
        return None
    shown = data.settings.samples
    return {"shown": [_sample(row) for row in rows[:shown]], "folded": [_sample(row) for row in rows[shown:]]}


def _flipping(arms: Mapping[str, Json]) -> Any:
    """How many raters the share comes to, where the rows say so."""
    return next((row["flipping_raters"] for row in arms.values() if "flipping_raters" in row), None)


def _panel(title: str, note: str, chart: Markup | None) -> Section:
    return {"title": title, "note": note, "chart": chart}


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _sample(row: Json) -> Section:
    before, after = row.get("gold_before"), row.get("gold_after")
    change = None if before is None or after is None else after - before
    return {**row, "change": change, "has_texts": "before" in row and "after" in row}
