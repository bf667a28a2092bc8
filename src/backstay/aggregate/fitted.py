"""The whole fit: raters, blocs, raters who changed, suspected topics and what audits of them prove."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.alarm_rate import with_false_alarms
from backstay.aggregate.columns import Index, VoteColumns, columns_of
from backstay.aggregate.content import Witness, witnessed
from backstay.aggregate.contexts import Suspicion, adopt_topics, draw_audit, split_topics, suspected, suspicions
from backstay.aggregate.reliability import Fit, fit_columns, right_wrong
from backstay.aggregate.same_source import SameSource, nothing_shared, same_source, starts_of
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.shifts import EARLIER, Shift, earlier_votes, find_shifts
from backstay.aggregate.source_evidence import CopyGroup, bloc_evidence, copy_groups, unexplained
from backstay.aggregate.trust import Group, Known, groups_of, known_of
from backstay.aggregate.voices import Voices, set_apart, voices_by
from backstay.aggregate.votes import Floats, Ints, Votes

UNNAMED = ""
"""Topic of items whose prompt names none."""


@dataclass(frozen=True)
class Topics:
    """Topics of I items by number and name; which were suspected, adopted; and the items proposed for an audit."""

    names: tuple[str, ...]
    of_item: Index
    suspicions: tuple[Suspicion, ...] = ()
    suspected: tuple[int, ...] = ()
    adopted: tuple[int, ...] = ()
    proposed: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Fitted:
    """A fit with what is known of the raters in it.

    The raters of `columns` are voices: `fit.voices` says whose, and in which dimension or on which adopted topic.
    `starts` are memberships (R) from which blocs were looked for besides those that the votes suggest; `copied`, raters
    who give the same rationales and are in no bloc.
    """

    columns: VoteColumns
    fit: Fit
    known: Known
    groups: tuple[Group, ...]
    topics: Topics
    settings: AggregateSettings
    starts: tuple[Floats, ...] = ()
    shifts: tuple[Shift, ...] = ()
    copied: tuple[CopyGroup, ...] = ()

    def refit(self, gold: NDArray[np.int8]) -> Fit:
        """The same model with other gold answers (I)."""
        return fit_columns(self.columns._replace(gold=gold), self.settings, self.fit.voices, self.starts)


def fit_votes(
    votes: Votes,
    audited: NDArray[np.bool_],
    topic_of: Mapping[str, str],
    settings: AggregateSettings,
    witness: Witness | None = None,
) -> Fitted:
    """Fit `votes`; items whose gold answer was given in an `audited` (I) answer decide about suspected topics.

    `topic_of` names the topics of prompts, by id; `witness` judges the content of responses.
    """
    source = same_source(votes) if settings.collusion and settings.same_source else nothing_shared(votes.n_raters)
    copied = copy_groups(source)
    fitted = _with_shifts(votes, settings, starts_of(source, tuple(group.raters for group in copied)))
    topics = _topics(votes, topic_of)
    topics = replace(topics, suspicions=tuple(_suspicions(votes, fitted, topics, witness)))
    return _with_evidence(_with_topics(fitted, topics, audited), source, copied)


def _with_topics(fitted: Fitted, topics: Topics, audited: NDArray[np.bool_]) -> Fitted:
    """The fit with suspected topics, those that their audit proved, and a draw of pairs for an audit of the others."""
    columns, settings, voices = fitted.columns, fitted.settings, fitted.fit.voices
    names, of_item = topics.names, topics.of_item
    suspects = suspected(topics.suspicions, settings)
    examined = sorted({*suspects, *(t for t in of_item[audited].tolist() if names[t] != UNNAMED)})
    adopted = adopt_topics(columns, voices, of_item, examined, audited, settings) if audited.any() else []
    if adopted:
        divided, more = split_topics(columns, voices, of_item, {t: names[t] for t in adopted}, audited)
        fit = fit_columns(divided, settings, more, fitted.starts)
        fitted = replace(_known(divided, fit, settings, fitted.starts), shifts=fitted.shifts)
    open_ = [t for t in suspects if t not in adopted]
    budget = round(settings.audit_share * columns.n_items)
    proposed = draw_audit(columns, of_item, open_, budget, settings.seed) if open_ else topics.proposed
    topics = replace(topics, suspected=tuple(suspects), adopted=tuple(adopted), proposed=proposed)
    return replace(fitted, topics=topics)


def _suspicions(votes: Votes, fitted: Fitted, topics: Topics, witness: Witness | None) -> list[Suspicion]:
    """What votes, and content where there is a witness, say against each named topic."""
    settings = fitted.settings
    if not settings.max_topics or len(topics.names) - (UNNAMED in topics.names) < 1:
        return []
    found = suspicions(fitted.columns, fitted.fit, fitted.known, topics.of_item)
    found = [s for s in found if topics.names[s.topic] != UNNAMED]
    if witness is None or not settings.content_items:
        return found
    voices = np.bincount(votes.item, votes.side != 0.0, votes.n_items).astype(np.int64)
    z = witnessed(
        votes.items, fitted.fit.log_odds, voices, topics.of_item, witness, settings.content_items, settings.seed
    )  # fmt: skip
    return [replace(s, content_z=float(z[s.topic])) for s in found]


def _with_shifts(votes: Votes, settings: AggregateSettings, starts: tuple[Floats, ...]) -> Fitted:
    """A fit in which raters who changed are judged by what they have said since."""
    columns, voices = voices_of(votes)
    fitted = _known(columns, fit_columns(columns, settings, voices, starts), settings, starts)
    shifts = find_shifts(columns, fitted.fit, fitted.known, votes.time, settings.shift_level)
    if not shifts:
        return fitted
    earlier = np.where(earlier_votes(votes.rater, votes.time, shifts), 0, -1)
    divided, more = set_apart(columns, voices, earlier, (EARLIER,))
    fit = fit_columns(divided, settings, more, starts)
    return replace(_known(divided, fit, settings, starts), shifts=tuple(shifts))


def voices_of(votes: Votes) -> tuple[VoteColumns, Voices]:
    """Columns of all votes, with a voice for each rater in each dimension where there is more than one."""
    columns = columns_of(votes, votes.gold)
    names = tuple(sorted({item.dimension for item in votes.items}))
    if len(names) < 2:
        return columns, Voices.one_each(columns.n_raters)
    number = {name: place for place, name in enumerate(names)}
    return voices_by(columns, np.array([number[item.dimension] for item in votes.items], dtype=np.int32), names)


def _known(columns: VoteColumns, fit: Fit, settings: AggregateSettings, starts: tuple[Floats, ...]) -> Fitted:
    known, groups = known_of(columns, fit, settings), groups_of(columns, fit)
    return Fitted(columns, fit, known, groups, Topics((), np.zeros(0, dtype=np.int32)), settings, starts)


def in_general(fitted: Fitted) -> Fitted:
    """The same fit with one voice a rater: what it is wherever it is not judged apart."""
    columns, fit, voices = fitted.columns, fitted.fit, fitted.fit.voices
    if voices.owner.size == voices.n_raters and not voices.hierarchical:
        return fitted
    mine, owner, raters = voices.of_their_rater, voices.owner, voices.n_raters
    side = np.where(mine[columns.rater], columns.side, 0).astype(np.int8)
    whole = columns._replace(rater=owner[columns.rater], side=side, n_raters=raters)
    cells = np.zeros((raters, fit.cells.shape[1]))
    np.add.at(cells, owner[mine], fit.cells[mine])
    alone = Voices.one_each(raters)
    blocs = tuple(replace(bloc, membership=_of_owners(bloc.membership, voices)) for bloc in fit.blocs)
    fit = replace(fit, cells=cells, voices=alone, population=alone.priors(*right_wrong(cells)), blocs=blocs)
    known = known_of(whole, fit, fitted.settings)
    groups = tuple(replace(group, bloc=bloc) for group, bloc in zip(fitted.groups, blocs, strict=True))
    return replace(fitted, columns=whole, fit=fit, known=known, groups=groups)


def _of_owners(membership: Floats, voices: Voices) -> Floats:
    of_raters, mine = np.zeros(voices.n_raters), voices.of_their_rater
    of_raters[voices.owner[mine]] = membership[mine]
    return of_raters


def _with_evidence(fitted: Fitted, source: SameSource, copied: tuple[CopyGroup, ...]) -> Fitted:
    """The fit with what speaks for and against each bloc, and with raters who copy rationales without being in one."""
    groups = with_false_alarms(fitted.groups, fitted.columns, fitted.fit, fitted.settings, fitted.starts)
    members = [np.unique(fitted.fit.voices.owner[group.bloc.membership > 0.5]).astype(np.int64) for group in groups]
    groups = tuple(
        replace(group, evidence=bloc_evidence(source, who, fitted.settings.seed))
        for group, who in zip(groups, members, strict=True)
    )
    explained = np.unique(np.concatenate([*members, np.zeros(0, dtype=np.int64)]))
    return replace(fitted, groups=groups, copied=unexplained(copied, explained))


def _topics(votes: Votes, topic_of: Mapping[str, str]) -> Topics:
    names: dict[str, int] = {}
    of_item = [names.setdefault(topic_of.get(item.prompt_id, UNNAMED), len(names)) for item in votes.items]
    return Topics(tuple(names), np.array(of_item, dtype=np.int32))


def settled_gold(
    votes: Votes, audits: Mapping[tuple[str, str, str, str], str]
) -> tuple[Floats, NDArray[np.bool_], int]:
    """Gold answers (I) with those of audits put in, which items were audited, and answers about no known pair.

    An audit is keyed by prompt, both responses in order of their ids, and dimension; its value is the better response.
    """
    gold, audited, met = votes.gold.copy(), np.zeros(votes.n_items, dtype=np.bool_), 0
    for i, item in enumerate(votes.items):
        low, high = sorted((item.a, item.b))
        better = audits.get((item.prompt_id, low, high, item.dimension))
        if better is not None:
            gold[i], audited[i], met = float(better == item.a), True, met + 1
    return gold, audited, len(audits) - met
