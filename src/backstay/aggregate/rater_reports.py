"""One record a rater: trust with its interval, what it rests on, and remarks in words."""

import numpy as np

from backstay.aggregate.fitted import Fitted
from backstay.aggregate.trust import Group, TrustPosterior, own_voice, trust_posterior
from backstay.aggregate.votes import Votes, tally
from backstay.records import RaterTrust

LEVEL = 0.05
"""Corrected p-value up to which members are said to share something."""

NOTED_BIAS = 1.0
"""Position bias in log-odds from which on it is remarked."""


def rater_trust(votes: Votes, fitted: Fitted) -> list[RaterTrust]:
    """One record a rater; `weight` is the mean evidence of its votes in log-odds, negative when read backwards.

    `trust` is the posterior mean accuracy times the share of the rater's votes that are its own. What it is on topics
    that are judged apart stands in the notes.
    """
    columns = fitted.columns
    posterior = trust_posterior(columns, fitted.fit, fitted.known, fitted.settings)
    own = own_voice(fitted.groups, columns.n_raters)
    gold = columns.gold[columns.item]
    count = np.bincount(votes.rater, minlength=votes.n_raters)
    seen = tally(votes.rater, gold != 0, votes.n_raters)
    correct = tally(votes.rater, (gold != 0) & (columns.side == gold), votes.n_raters)
    _, first = np.unique(votes.judgment, return_index=True)
    judged = np.bincount(votes.rater[first], minlength=votes.n_raters)
    weight = tally(votes.rater, fitted.fit.evidence * votes.side, votes.n_raters) / np.maximum(count, 1)
    notes = _notes(fitted, posterior)
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


def _notes(fitted: Fitted, posterior: TrustPosterior) -> list[list[str]]:
    known, settings = fitted.known, fitted.settings
    reading = "read backwards" if settings.adversarial == "invert" else "ignored"
    everyone = int(fitted.owner.max(initial=-1)) + 1
    notes: list[list[str]] = [[] for _ in range(everyone)]
    for r in range(everyone):
        said = notes[r]
        said += [
            _in_group(group, settings.bloc_simulations)
            for group in fitted.groups
            if group.bloc.membership[r] >= settings.bloc_membership
        ]
        if not known.verified[r]:
            said.append("unverified: no gold item and no second voice to compare with")
        elif posterior.high[r] < 0.5:
            said.append(f"more often wrong than right: {reading}")
        elif posterior.low[r] < 0.5:
            said.append("not shown to be better than chance")
        if abs(known.bias[r]) >= NOTED_BIAS:
            said.append(f"leans to the {'first' if known.bias[r] > 0 else 'second'} response: {abs(known.bias[r]):.1f}")
    for r in range(everyone, fitted.owner.size):
        topic = fitted.topics.names[fitted.topics.adopted[fitted.fit.group[r] - 1]]
        votes = int(known.begin[r + 1] - known.begin[r])
        if posterior.high[r] < 0.5:
            notes[fitted.owner[r]].append(f"on {topic} more often wrong than right in {votes} judgments: {reading}")
    return notes


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
