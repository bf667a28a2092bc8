"""The entry of the screen stage: every pair comes back, accepted, quarantined with its reasons, or released."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from backstay.records import Finding, Judgment, Pair, PairStatus, Prompt, RaterTrust, Response, Task
from backstay.scan import scan_form
from backstay.screen.associations import associations
from backstay.screen.baseline import Baseline, load_baseline
from backstay.screen.budget import budget
from backstay.screen.by_source import Membership, answered_by, judged_by, quarantine_rates, reasons_of
from backstay.screen.degenerate import degenerate_choice
from backstay.screen.duplicates import Duplicates, find_duplicates, identical_answers
from backstay.screen.hurried import Pace, hurried_evidence, rater_paces, words_shown
from backstay.screen.label_noise import label_noise
from backstay.screen.margins import cross_fitted_margins
from backstay.screen.settings import ScreenSettings
from backstay.screen.shifts import find_shifts
from backstay.screen.texts import PairTexts, join_texts
from backstay.screen.triggers import find_triggers

SCANNER = "quarantine"
PairKey = tuple[str, str, frozenset[str]]


class ReviewLike(Protocol):
    """A person's decision about a pair; the last one of an item counts."""

    @property
    def item_id(self) -> str:
        """Id of the pair."""
        ...

    @property
    def action(self) -> Literal["release", "quarantine"]:
        """What the person decided."""
        ...

    @property
    def reviewer(self) -> str:
        """Who decided."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...


@dataclass(frozen=True)
class Screening:
    """As many pairs as went in, in the same order, each with status and findings; and the counts (JSON data)."""

    pairs: list[Pair]
    summary: dict[str, Any]


@dataclass(frozen=True)
class _Evidence:
    """Who judged what, looked up by pair."""

    by_pair: Mapping[PairKey, list[Judgment]]
    shown: Mapping[str, int]
    paces: Mapping[str, Pace]
    trust: Mapping[str, float]

    def of(self, pair: Pair) -> list[Judgment]:
        return self.by_pair.get((pair.prompt_id, pair.dimension, frozenset((pair.a, pair.b))), [])


def screen(
    pairs: Sequence[Pair],
    prompts: Iterable[Prompt],
    responses: Iterable[Response],
    tasks: Iterable[Task],
    judgments: Iterable[Judgment],
    trust: Iterable[RaterTrust],
    reviews: Iterable[ReviewLike] = (),
    settings: ScreenSettings | None = None,
    baseline: Baseline | None = None,
) -> Screening:
    """Check every pair and set its status; deletes nothing and changes no probability.

    `baseline` defaults to the one that the settings name. Raises UsageError for a pair whose texts are missing.
    """
    settings = settings or ScreenSettings()
    baseline = load_baseline(settings.baseline) if baseline is None else baseline
    prompt_by_id = {prompt.id: prompt for prompt in prompts}
    response_by_id = {response.id: response for response in responses}
    rows = join_texts(pairs, prompt_by_id.values(), response_by_id.values(), settings.min_margin)
    evidence = _evidence(tasks, judgments, trust, prompt_by_id, response_by_id, settings)
    repeats = find_duplicates(rows, settings.near_duplicate) if settings.duplicates else Duplicates({}, 0, 0)
    content = _content_findings(rows, settings)
    latest = {review.item_id: review for review in reviews}
    done = []
    for row in rows:
        found = _findings(row, repeats.findings, evidence, settings, baseline) + content.of(row)
        done.append(decide(row.pair, found, latest.get(row.pair.id)))
    compared = {"compared": repeats.compared, "left_out": repeats.left_out}
    policy = {response.id: response.policy for response in response_by_id.values()}
    reports = {"duplicates": compared} | _reports(done, rows, [evidence.of(pair) for pair in done], policy)
    return Screening(done, _summary(done, rows, evidence, latest) | reports | content.summary)


def decide(pair: Pair, findings: tuple[Finding, ...], review: ReviewLike | None) -> Pair:
    """Quarantine a pair with findings, unless a person has decided otherwise; the findings stay either way."""
    status: PairStatus = "quarantined" if findings else "accepted"
    if review is not None:
        status = "released" if review.action == "release" else "quarantined"
        said = f"{review.action} by {review.reviewer}: {review.reason}"
        findings = (*findings, Finding(scanner="review", kind=review.action, severity="info", evidence=said))
    return pair.model_copy(update={"status": status, "findings": findings})


@dataclass(frozen=True)
class _Content:
    """Findings by pair id of the checks that look at all texts together, and their summaries (JSON data)."""

    findings: Sequence[Mapping[str, tuple[Finding, ...]]]
    summary: dict[str, Any]

    def of(self, row: PairTexts) -> tuple[Finding, ...]:
        return tuple(finding for found in self.findings for finding in found.get(row.pair.id, ()))


def _content_findings(rows: Sequence[PairTexts], settings: ScreenSettings) -> _Content:
    findings, summary = [], {}
    margins = cross_fitted_margins(rows) if rows and (settings.label_noise or settings.triggers) else None
    if settings.label_noise and margins is not None:
        found, summary["label_noise"] = label_noise(rows, margins=margins, false_share=settings.label_noise_false_share)
        findings.append(found)
    if settings.triggers and margins is not None:
        found, _, summary["triggers"] = find_triggers(
            rows,
            margins=margins,
            expected_false=settings.trigger_expected_false,
            min_support=settings.trigger_min_support,
        )
        findings.append(found)
    if settings.associations:
        summary["associations"] = associations(rows)
    return _Content(findings, summary)


def _evidence(
    tasks: Iterable[Task],
    judgments: Iterable[Judgment],
    trust: Iterable[RaterTrust],
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    settings: ScreenSettings,
) -> _Evidence:
    task_by_id = {task.id: task for task in tasks}
    shown = {task.id: words_shown(task, prompts, responses) for task in task_by_id.values()}
    known = [judgment for judgment in judgments if judgment.task_id in task_by_id]
    by_pair: dict[PairKey, list[Judgment]] = defaultdict(list)
    for judgment in known:
        task = task_by_id[judgment.task_id]
        for place, first in enumerate(task.response_ids):
            for second in task.response_ids[place + 1 :]:
                by_pair[task.prompt_id, task.dimension, frozenset((first, second))].append(judgment)
    trusted = {record.rater_id: record.trust for record in trust}
    return _Evidence(by_pair, shown, rater_paces(known, shown, settings), trusted)


def _findings(
    row: PairTexts,
    repeats: Mapping[str, Finding],
    evidence: _Evidence,
    settings: ScreenSettings,
    baseline: Baseline,
) -> tuple[Finding, ...]:
    judged = evidence.of(row.pair)
    found: list[Finding] = []
    if row.chosen is not None and row.rejected is not None:
        found += baseline.check(row.prompt, row.chosen, row.rejected)
    found += degenerate_choice(row.chosen) if settings.degenerate else ()
    found += scan_form(row.request, row.chosen) if settings.form and row.chosen is not None else ()
    if settings.duplicates:
        found += identical_answers(row, settings.near_identical_responses)
        found += [repeats[row.pair.id]] if row.pair.id in repeats else []
    found += hurried_evidence(judged, evidence.shown, evidence.paces, settings)
    found += _untrusted(row.pair, judged, evidence.trust) if settings.trusted_voice else ()
    return tuple(found)


def _untrusted(pair: Pair, judged: list[Judgment], trust: Mapping[str, float]) -> tuple[Finding, ...]:
    """A finding when every rater of the pair is known and none is trusted above one half."""
    raters = {judgment.rater_id for judgment in judged}
    if not raters or pair.provenance.get("gold") or any(trust.get(rater, 1.0) > 0.5 for rater in raters):
        return ()
    evidence = f"none of {len(raters)} raters is right more often than not"
    return (Finding(scanner=SCANNER, kind="no_trusted_voice", severity="medium", evidence=evidence),)


def _reports(
    done: Sequence[Pair], rows: Sequence[PairTexts], judged: Sequence[list[Judgment]], policy: Mapping[str, str]
) -> dict[str, Any]:
    """What was set aside by rater, by source of responses and of prompts, and over time; and what it costs."""
    prompts = Membership([row.prompt.source for row in rows], range(len(rows)))
    return {
        "budget": budget(done),
        "by_rater": quarantine_rates(done, judged_by(judged)),
        "by_response_source": quarantine_rates(done, answered_by(done, policy)),
        "by_prompt_source": quarantine_rates(done, prompts),
        "shifts": find_shifts(rows, [pair.status == "quarantined" for pair in done], judged),
    }


def _summary(
    done: Sequence[Pair], rows: Sequence[PairTexts], evidence: _Evidence, reviews: Mapping[str, ReviewLike]
) -> dict[str, Any]:
    status = Counter(pair.status for pair in done)
    reasons: Counter[str] = Counter()
    raters: Counter[str] = Counter()
    for pair in done:
        reasons.update(reasons_of(pair))
        if pair.status == "quarantined":
            raters.update({judgment.rater_id for judgment in evidence.of(pair)})
    known = {pair.id for pair in done}
    return {
        "pairs": len(done),
        "accepted": status["accepted"],
        "quarantined": status["quarantined"],
        "released": status["released"],
        "by_reason": dict(sorted(reasons.items())),
        "quarantined_by_rater": dict(sorted(raters.items())),
        "no_side_preferred": sum(row.chosen is None for row in rows),
        "reviews": len(reviews),
        "reviews_of_unknown_pairs": sum(item not in known for item in reviews),
        "raters_hurried": sorted(pace.rater_id for pace in evidence.paces.values() if pace.hurried),
        "raters_straight_lining": sorted(p.rater_id for p in evidence.paces.values() if p.straight_lining),
        "paces": [asdict(pace) for pace in evidence.paces.values()],
    }
