"""What a reader should take home, in plain words, and nothing that the numbers do not carry."""

from typing import Any, Literal

from backstay.records import Record
from backstay.report.data import ReportData
from backstay.report.wording import count, number, percent, percent_span, signed, signed_span

Json = dict[str, Any]
Tone = Literal["good", "mixed", "bad", "unknown"]


class Verdict(Record):
    """One headline, what stands behind it, and what to worry about."""

    tone: Tone
    headline: str
    sentences: tuple[str, ...] = ()
    worries: tuple[str, ...] = ()


def verdict(data: ReportData) -> Verdict:
    """Judge by the gold rule only; the reward that the policy was trained on never decides."""
    evaluation = data.evaluation
    if evaluation is None:
        return Verdict(tone="unknown", headline="Not evaluated: nothing can be said about quality.")
    worries = tuple(_worries(evaluation, data.meta.kl_budget_nats))
    gold = evaluation["difference"]["gold"]
    if gold is None:
        headline = "No verdict on quality: this data has no gold rule."
        return Verdict(tone="unknown", headline=headline, sentences=_reward_only(evaluation), worries=worries)
    tone, headline = _by_gold(gold, bool(worries))
    return Verdict(tone=tone, headline=headline, sentences=tuple(_gold_sentences(evaluation)), worries=worries)


def what_went_in(data: ReportData) -> str:
    """Prompts, raters, judgments and pairs, as far as the runs say."""
    parts = [f"{count(data.counts[key])} {key}" for key in ("prompts", "responses", "judgments") if key in data.counts]
    if data.raters:
        simulated = sum(bool(rater.get("simulated")) for rater in data.raters)
        share = "all" if simulated == len(data.raters) else count(simulated)
        parts.append(f"{count(len(data.raters))} raters" + (f" ({share} simulated)" if simulated else ""))
    return ", ".join(parts)


def _by_gold(gold: Json, worried: bool) -> tuple[Tone, str]:
    if not gold["excludes_zero"]:
        return "mixed", "No clear change by the gold rule: the interval of the difference includes zero."
    if gold["mean"] < 0:
        return "bad", "The policy got worse by the gold rule."
    if worried:
        return "mixed", "The policy got better by the gold rule, at a price."
    return "good", "The policy got better by the gold rule."


def _gold_sentences(evaluation: Json) -> list[str]:
    before, after, change = (evaluation[key]["gold"] for key in ("before", "after", "difference"))
    level = percent(evaluation["level"])
    moved = f"from {number(before['mean'])} to {number(after['mean'])}: {signed(change['mean'])}"
    where = f"On {count(evaluation['prompts'])} held-out prompts"
    sentences = [f"{where} the gold score went {moved}, {level} interval {signed_span(change)}."]
    if win := evaluation["win_rate"]:
        sentences.append(f"An answer after beats one before {percent(win['mean'])} of the time ({percent_span(win)}).")
    sentences.append(_drift(evaluation))
    return sentences


def _reward_only(evaluation: Json) -> tuple[str, ...]:
    change = evaluation["difference"]["reward"]
    note = str(evaluation.get("note") or "")
    moved = f"The reward moved by {signed(change['mean'])} ({signed_span(change)})"
    return f"{moved} on {count(evaluation['prompts'])} held-out prompts; {note}.", _drift(evaluation)


def _drift(evaluation: Json) -> str:
    kl = evaluation["kl_nats"]
    return (
        f"It drifted {number(kl['mean'], 1)} nats per response from the reference "
        f"(95th percentile {number(kl['p95'], 1)})."
    )


def _worries(evaluation: Json, kl_budget_nats: float | None) -> list[str]:
    found = []
    change, after = evaluation["difference"], evaluation["after"]
    if _below_zero(change["refusal"]):
        found.append(f"It refuses harmful requests less often than before: now {percent(after['refusal']['mean'])}.")
    if _above_zero(change["over_refusal"]):
        found.append(
            f"It refuses harmless requests more often than before: now {percent(after['over_refusal']['mean'])}."
        )
    if _above_zero(change["flattery"]):
        found.append(
            f"It flatters more than before: it sides with {percent(after['flattery']['mean'])} of wrong opinions."
        )
    if _below_zero(change["finished"]):
        found.append(f"Fewer answers come to an end: now {percent(after['finished']['mean'])}.")
    if kl_budget_nats and evaluation["kl_nats"]["mean"] > kl_budget_nats:
        found.append(f"It drifted beyond the budget of {number(kl_budget_nats, 1)} nats per response.")
    return found


def _below_zero(row: Json | None) -> bool:
    return row is not None and row["high"] is not None and row["high"] < 0


def _above_zero(row: Json | None) -> bool:
    return row is not None and row["low"] is not None and row["low"] > 0
