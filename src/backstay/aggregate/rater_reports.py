"""One record a rater: trust with its interval, what it rests on, and remarks in words."""

import numpy as np

from backstay.aggregate.difficulty import given_difficulty
from backstay.aggregate.fitted import Fitted, in_general
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.shifts import EARLIER
from backstay.aggregate.trust import Group, TrustPosterior, own_voice, trust_posterior
from backstay.aggregate.votes import Votes, tally
from backstay.records import RaterTrust

LEVEL = 0.05
"""Corrected p-value up to which members are said to share something."""

NOTED_BIAS = 1.0
"""Position bias in log-odds from which on it is remarked."""

NOTED_DIFFICULTY, NOTED_DEVIATION = 1.3, 3.0
"""Difficulty of a rater's pairs, and how far beyond chance, from which on it is remarked."""


def rater_trust(votes: Votes, fitted: Fitted) -> list[RaterTrust]:
    """One record a rater; `weight` is the mean evidence of its votes in log-odds, negative when read backwards.

    `trust` is the posterior mean accuracy times the share of the rater's votes that are its own. What it is on topics
    that are judged apart stands in the notes.
    """
    columns, general = fitted.columns, in_general(fitted)
    posterior = trust_posterior(general.columns, general.fit, general.known, fitted.settings)
    own = own_voice(general.groups, votes.n_raters)
    gold = columns.gold[columns.item]
    count = np.bincount(votes.rater, minlength=votes.n_raters)
    seen = tally(votes.rater, gold != 0, votes.n_raters)
    correct = tally(votes.rater, (gold != 0) & (columns.side == gold), votes.n_raters)
    _, first = np.unique(votes.judgment, return_index=True)
    judged = np.bincount(votes.rater[first], minlength=votes.n_raters)
    weight = tally(votes.rater, fitted.fit.evidence * votes.side, votes.n_raters) / np.maximum(count, 1)
    notes = notes_in_general(general, posterior)
    _note_contexts(notes, votes, fitted, posterior)
    _note_hard_pairs(notes, fitted)
    return [
        RaterTrust(
            rater_id=rater_id,
            trust=float(own[r] * posterior.mean[r]),
            low=float(own[r] * posterior.low[r]),
            high=float(own[r] * posterior.high[r]),
            n_judgments=int(judged[r]),
            gold_seen=int(seen[r]),
            gold_right=int(correct[r]),
            weight=float(weight[r]),
            notes=tuple(notes[r]),
        )
        for r, rater_id in enumerate(votes.rater_ids)
    ]


def notes_in_general(general: Fitted, posterior: TrustPosterior) -> list[list[str]]:
    """Remarks on each rater of a fit with one voice a rater."""
    known, settings = general.known, general.settings
    notes: list[list[str]] = [[] for _ in range(general.columns.n_raters)]
    for r in range(len(notes)):
        said = notes[r]
        said += [
            _in_group(group, settings.bloc_simulations)
            for group in general.groups
            if group.bloc.membership[r] >= settings.bloc_membership
        ]
        if not known.verified[r]:
            said.append("unverified: no gold item and no second voice to compare with")
        elif posterior.high[r] < 0.5:
            said.append(f"more often wrong than right: {_reading(settings)}")
        elif posterior.low[r] < 0.5:
            said.append("not shown to be better than chance")
        if abs(known.bias[r]) >= NOTED_BIAS:
            said.append(f"leans to the {'first' if known.bias[r] > 0 else 'second'} response: {abs(known.bias[r]):.1f}")
    return notes


def _note_contexts(notes: list[list[str]], votes: Votes, fitted: Fitted, general: TrustPosterior) -> None:
    """Remarks on raters who changed, who differ in a dimension from what they are in general, who lie on a topic."""
    voices, known = fitted.fit.voices, fitted.known
    if voices.owner.size == voices.n_raters:
        return
    posterior = trust_posterior(fitted.columns, fitted.fit, known, fitted.settings)
    moments = {shift.rater: votes.times[votes.time[shift.first]] for shift in fitted.shifts}
    for v in np.flatnonzero(known.verified):
        r, name = voices.owner[v], voices.names[voices.context[v]]
        judged = f"in {int(known.begin[v + 1] - known.begin[v])} judgments"
        if name == EARLIER and r in moments:
            was = f"{posterior.mean[v]:.0%} {judged} before"
            said = f"changed on {moments[r]}: right {general.mean[r]:.0%} since, {was}"
        elif posterior.high[v] < 0.5 <= general.high[r]:
            said = f"on {name} more often wrong than right {judged}: {_reading(fitted.settings)}"
        elif voices.tied[voices.context[v]] and not posterior.low[v] <= general.mean[r] <= posterior.high[v]:
            said = f"on {name} right {posterior.mean[v]:.0%} {judged}, {general.mean[r]:.0%} in all"
        else:
            continue
        notes[r].append(said)


def _note_hard_pairs(notes: list[list[str]], fitted: Fitted) -> None:
    ratio, deviation = given_difficulty(fitted)
    for r in np.flatnonzero((ratio >= NOTED_DIFFICULTY) & (deviation >= NOTED_DEVIATION)):
        notes[r].append(f"was given harder pairs: others err {ratio[r]:.1f} times as often there as they usually do")


def _reading(settings: AggregateSettings) -> str:
    return "read backwards" if settings.adversarial == "invert" else "ignored"


def _in_group(group: Group, draws: int) -> str:
    bloc = group.bloc
    figures = f"agree on {bloc.agreement:.0%} of common votes, {bloc.expected:.0%} expected"
    figures += _by_chance(group.false_alarms, draws) + _also_shared(group)
    if group.preference:
        return f"shares a preference with {bloc.size - 1} others, who pass gold: they {figures}"
    return f"acts as one with {bloc.size - 1} others: they {figures}"


def _by_chance(false_alarms: float | None, draws: int) -> str:
    """How many crowds of independent raters show as much, no finer than the crowds that were drawn can tell."""
    if false_alarms is None:
        return ""
    if false_alarms > 0.5:
        return "; most crowds of independent raters show as much"
    bound = "at most" if false_alarms * (1 + draws) < 1.5 else "about"
    return f"; {bound} 1 in {1.0 / false_alarms:.0f} crowds of independent raters shows as much"


def _also_shared(group: Group) -> str:
    """What the members share beyond chance besides their votes."""
    words = {"rationale": "rationales", "client": "clients", "timing": "the time of their judgments"}
    told = [words[test.signal] for test in group.evidence if test.p_corrected <= LEVEL]
    return f"; they share {' and '.join(told)} beyond chance" if told else ""
