"""How often raters who act independently would look as much like a bloc: a parametric bootstrap of the search.

Truths are drawn from their posteriors, and every rater votes for itself with its accuracies: the same items, orders
shown, ties and gold. The drawn votes are judged by one sweep of the model and searched for their strongest bloc by the
search that found the real ones (Davison & Hinkley 1997, section 4.2). Accuracies are fitted anew by plain EM without
blocs: those of the model, each judged without its own votes, are nearer to chance than the raters are, and crowds drawn
from them agree too little. docs/aggregate/blocs.md.
"""

from dataclasses import replace

import numpy as np

from backstay.aggregate.bloc_kernels import WARM_UP, CoVotes, co_vote_counts, mean_field
from backstay.aggregate.blocs import co_votes, strongest_bloc
from backstay.aggregate.columns import Small, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.kernels import CELLS, Rules, State, accuracies, add_vote, evidence_of, sigmoid, sweep
from backstay.aggregate.population import fit_prior
from backstay.aggregate.reliability import GOLD_LOG_ODDS, Fit, right_wrong, rules_of
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.trust import Group
from backstay.aggregate.votes import Floats

DRAWN_CO_VOTES = 200_000
"""Pairs of votes searched in each draw; where there are more, those of evenly drawn items."""

EM_STEPS = 20
"""Steps of EM that fit independent raters, from the model's answer on."""


def with_false_alarms(
    groups: tuple[Group, ...],
    columns: VoteColumns,
    fit: Fit,
    settings: AggregateSettings,
    starts: tuple[Floats, ...] = (),
) -> tuple[Group, ...]:
    """The groups with how often crowds of independent raters show as strong a bloc: (1 + as strong) / (1 + draws).

    Nothing is drawn where there is no group or `bloc_simulations` is 0.
    """
    if not groups or not settings.bloc_simulations:
        return groups
    limit = min(settings.max_co_votes, DRAWN_CO_VOTES)
    chance = independent_gains(columns, fit, settings, starts, limit)
    gains = observed_gains(groups, columns, fit, settings, limit)
    return tuple(
        replace(group, false_alarms=float(1 + np.sum(chance >= gain)) / (1 + chance.size))
        for group, gain in zip(groups, gains, strict=True)
    )


def independent_gains(
    columns: VoteColumns, fit: Fit, settings: AggregateSettings, starts: tuple[Floats, ...], limit: int
) -> Floats:
    """The gain of the strongest bloc in each of `bloc_simulations` crowds of independent raters; 0 where none is."""
    accuracy, log_odds = independent_raters(columns, fit, settings)
    starts, actors = tuple(fit.voices.by_actor(start[fit.voices.owner]) for start in starts), fit.voices.actors
    gains = np.zeros(settings.bloc_simulations)
    for k in range(gains.size):
        rng = np.random.default_rng([settings.seed, k])
        drawn = columns._replace(side=draw_sides(columns, accuracy, log_odds, rng))
        bloc = strongest_bloc(_co_votes_of(drawn, fit, settings, limit), actors, starts)
        gains[k] = 0.0 if bloc is None else bloc.gain
    return gains


def independent_raters(columns: VoteColumns, fit: Fit, settings: AggregateSettings) -> tuple[Floats, Floats]:
    """Accuracies (R, 2), where the first response is better and where the second is, and log-odds of the truth (I).

    EM of raters who all vote for themselves, every vote counted in the truth it is judged by.
    """
    rules, log_odds = rules_of(settings), fit.log_odds.copy()
    cells, accuracy = np.zeros((columns.n_raters, CELLS)), np.zeros((columns.n_raters, 3))
    _count_all(columns, log_odds, cells)
    for _ in range(EM_STEPS):
        right, wrong = right_wrong(cells)
        known = right + wrong > 0.0
        prior = fit_prior(right[known], wrong[known])
        _judge_all(columns, cells, np.array([prior.right, prior.wrong]), rules, fit.prior, accuracy, log_odds)
        cells[:] = 0.0
        _count_all(columns, log_odds, cells)
    return accuracy[:, 1:], log_odds


@compiled
def _judge_all(
    votes: VoteColumns, cells: Floats, prior: Floats, rules: Rules, coupled: Floats, accuracy: Floats, log_odds: Floats
) -> None:
    """Renew `accuracy` (R, 3) from the cells and `log_odds` (I) from all votes."""
    none = np.zeros(CELLS)
    for r in range(cells.shape[0]):
        accuracy[r, 0], accuracy[r, 1], accuracy[r, 2] = accuracies(cells[r], none, prior, rules)
    for i in range(log_odds.size):
        log_odds[i] = coupled[i]
        for j in range(votes.start[i], votes.start[i + 1]):
            if votes.side[j] != 0:
                overall, first, second = accuracy[votes.rater[j]]
                log_odds[i] += votes.share[j] * evidence_of(votes.side[j], votes.shown[j], overall, first, second)
        if votes.gold[i] != 0:
            log_odds[i] = GOLD_LOG_ODDS * votes.gold[i]


@compiled
def _count_all(votes: VoteColumns, log_odds: Floats, cells: Floats) -> None:
    """Add every vote to its rater's cells (R, 6)."""
    for i in range(log_odds.size):
        p_a = sigmoid(log_odds[i])
        for j in range(votes.start[i], votes.start[i + 1]):
            if votes.side[j] != 0:
                add_vote(cells[votes.rater[j]], votes.side[j], votes.shown[j], p_a, votes.share[j])


def draw_sides(columns: VoteColumns, accuracy: Floats, log_odds: Floats, rng: np.random.Generator) -> Small:
    """Sides (N) by raters with accuracies (R, 2) where the first response is better and where the second is.

    Ties stay ties, and gold items keep their answer.
    """
    side = np.zeros(columns.n_votes, dtype=np.int8)
    _draw(columns, accuracy, log_odds, rng.random(columns.n_items), rng.random(columns.n_votes), side)
    return side


@compiled
def _draw(
    votes: VoteColumns, accuracy: Floats, log_odds: Floats, for_truth: Floats, for_vote: Floats, side: Small
) -> None:
    for i in range(log_odds.size):
        truth = 1 if for_truth[i] < sigmoid(log_odds[i]) else -1
        if votes.gold[i] != 0:
            truth = votes.gold[i]
        for j in range(votes.start[i], votes.start[i + 1]):
            if votes.side[j] == 0:
                continue
            first, second = accuracy[votes.rater[j]]
            right = (first + second) / 2.0
            if votes.shown[j] != 0:
                right = first if truth * votes.shown[j] > 0 else second
            side[j] = truth if for_vote[j] < right else -truth


def _co_votes_of(drawn: VoteColumns, fit: Fit, settings: AggregateSettings, limit: int) -> CoVotes:
    """Pairs of drawn votes, judged by one sweep from the fitted accuracies, in which they have no part."""
    n, cells = drawn.n_votes, np.zeros((drawn.n_raters, CELLS))
    state = _state(fit)._replace(
        belief=np.full(n, np.nan), evidence=np.zeros(n), weight=np.ones(n), log_odds=np.zeros(drawn.n_items)
    )
    sweep(0, drawn.n_items, drawn, state, rules_of(settings), fit.cells, cells)
    return co_votes(drawn, state, cells, rules_of(settings), limit, fit.voices.actor)


def observed_gains(
    groups: tuple[Group, ...], columns: VoteColumns, fit: Fit, settings: AggregateSettings, limit: int
) -> Floats:
    """The gain of each group; where not all pairs of votes are searched in a draw, that on those which are."""
    searched = min(int(co_vote_counts(columns).sum()), settings.max_co_votes)
    if searched <= limit:
        return np.array([group.bloc.gain for group in groups])
    pairs = co_votes(columns, _state(fit), fit.cells, rules_of(settings), limit, fit.voices.actor)
    return np.array([_gain_on(pairs, fit.voices.by_actor(group.bloc.membership)) for group in groups])


def _state(fit: Fit) -> State:
    voices, population = fit.voices, fit.population
    return State(fit.belief, fit.evidence, fit.independence, fit.prior, fit.log_odds, voices.row, population)


def _gain_on(pairs: CoVotes, membership: Floats) -> float:
    """The gain of a bloc with these memberships: as many steps as leave them alone."""
    return mean_field(pairs.u, pairs.v, pairs.same, pairs.joint, membership, WARM_UP)[1]
